/** Where the dashboard begins. */
import { html, render } from "./lib.js";
import { redeemCode, Problem } from "./core/api.js";
import { listenToKeys } from "./core/commands.js";
import { ready, start, startProblem } from "./core/data.js";
import { tellProblem } from "./core/toasts.js";
import { loadTheRest, screenOf } from "./screens/index.js";
import { App } from "./ui/app.js";
import { route } from "./core/router.js";

const AGAIN_MS = 2_000;

async function begin() {
  try {
    await redeemCode();
  } catch (error) {
    tellProblem(error, "Could not sign in with this link");
  }
  while (!ready.value) {
    try {
      await start();
      startProblem.value = null;
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      startProblem.value = error;
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
    }
  }
}

const place = /** @type {HTMLElement} */ (document.getElementById("app"));
place.replaceChildren();
render(html`<${App} />`, place);
listenToKeys();
screenOf(route.value.screen);
void begin().then(loadTheRest);
