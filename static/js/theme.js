// Before the first paint, hence a script of its own that the page waits for.
{
  let theme = null;
  try {
    theme = localStorage.getItem("agent-relay-theme");
  } catch {
    // Storage may be switched off: then the system's theme it is.
  }
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
}
