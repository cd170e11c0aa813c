"""The pretend world as data: who is there, what they talk about, what comes in from outside. No code.

Texts may hold ``{file}``, ``{symbol}``, ``{table}``, ``{branch}``, ``{project}``, ``{n}``, ``{ms}`` and ``{version}``;
a conversation gives each one value. Other braces stay as they are.
"""

from __future__ import annotations

from typing import NamedTuple


class Project(NamedTuple):
    """What agents work on, and the words of its code."""

    name: str
    tag: str
    files: tuple[str, ...]
    symbols: tuple[str, ...]
    tables: tuple[str, ...]


class Role(NamedTuple):
    """One of the first agents; more are put together from the same words."""

    host: str
    rig: str
    project: str
    labels: tuple[str, ...]
    tags: tuple[str, ...]
    capabilities: tuple[str, ...]


class Talk(NamedTuple):
    """A conversation of ``a`` and ``b``. Its first line goes to ``to``, each further one to the other of the two."""

    to: str  # "b", "human", "broadcast", or a tag, capability or label
    subject: str
    channel: str | None
    lines: tuple[tuple[str, str], ...]
    priority: str = "normal"


class Work(NamedTuple):
    """A claimable message, and how whoever got it reports."""

    to: str
    subject: str
    body: str
    report: str


class Incident(NamedTuple):
    """What an integration sends, and how it goes on."""

    integration: str
    type: str
    severity: str
    key: str | None
    title: str
    body: str
    target: str
    channel: str
    url: str | None
    steps: tuple[str, ...]
    result: str
    end: str = "done"  # "done", "failed", "blocked" (then a question to the human), "resolved" (by the integration)


# fmt: off
PROJECTS = (
    Project("webshop", "frontend", ("src/cart/CartDrawer.tsx", "src/checkout/steps.ts", "src/search/facets.ts"),
            ("useCart", "applyVoucher", "formatPrice"), ("carts", "vouchers")),
    Project("api", "backend", ("api/orders/handlers.py", "api/auth/sessions.py", "api/rate_limit.py"),
            ("create_order", "refresh_session", "take_token"), ("orders", "sessions")),
    Project("payments", "backend", ("ledger/postings.go", "ledger/refunds.go", "webhooks/verify.go"),
            ("PostEntry", "RefundPart", "VerifySignature"), ("postings", "refunds")),
    Project("mobile", "mobile", ("app/sync/OfflineQueue.kt", "app/push/Tokens.kt", "app/ui/OrderList.kt"),
            ("drainQueue", "rotateToken", "renderRow"), ("pending_ops", "devices")),
    Project("infra", "ops", ("modules/cache/main.tf", "charts/api/values.yaml", "scripts/rotate-certs.sh"),
            ("cache_nodes", "maxSurge", "rotate_certs"), ("leases", "audit_log")),
    Project("search", "data", ("indexer/tokenize.rs", "indexer/merge.rs", "query/rank.rs"),
            ("fold_accents", "merge_segments", "score_phrase"), ("documents", "synonyms")),
    Project("docs", "docs", ("guides/first-order.md", "reference/webhooks.md", "guides/migrate-v3.md"),
            ("check_links", "render_snippet", "build_toc"), ("pages", "redirects")),
    Project("importer", "data", ("importer/csv_dialect.py", "importer/normalise.py", "importer/resume.py"),
            ("sniff_dialect", "normalise_row", "resume_from"), ("batches", "rejects")),
)

CAST = (
    Role("studio", "claude", "webshop", ("Webshop lead",), ("frontend", "lead"), ("chat", "review", "design")),
    Role("studio", "claude", "api", ("API lead",), ("backend", "lead"), ("chat", "review", "sql")),
    Role("ci-runner", "codex", "api", ("Night build",), ("backend", "ci"), ("chat", "tests", "bisect")),
    Role("lighthouse", "claude", "infra", ("On call",), ("ops", "lead"), ("chat", "deploy", "ops")),
    Role("studio", "codex", "payments", (), ("backend",), ("chat", "tests", "sql")),
    Role("orchard", "claude", "mobile", ("Mobile",), ("mobile",), ("chat", "review", "tests")),
    Role("orchard", "codex", "search", (), ("data", "backend"), ("chat", "benchmarks", "tests")),
    Role("lighthouse", "script", "infra", ("Backup watch",), ("ops",), ("ops",)),
    Role("attic", "claude", "docs", ("Docs desk",), ("docs",), ("chat", "review", "writing")),
    Role("attic", "codex", "importer", (), ("data",), ("chat", "tests", "sql")),
    Role("ci-runner", "script", "webshop", ("Visual checks",), ("frontend", "ci"), ("tests",)),
    Role("ferry", "claude", "payments", ("Second reviewer",), ("backend",), ("chat", "review", "ops")),
)

#: Where further agents run, and the capabilities that they share out among themselves.
HOSTS = ("studio", "orchard", "attic", "lighthouse", "ci-runner", "ferry", "harbour", "greenhouse", "workbench", "loft")
RIGS = ("claude", "claude", "codex", "codex", "script")
CAPABILITIES = ("review", "tests", "sql", "deploy", "ops", "benchmarks", "writing", "bisect")
VERSIONS = {"claude": ("2.4.1", "2.4.3", "2.5.0"), "codex": ("0.92.0", "0.94.1"), "script": ("1.3.0",)}
#: Ways to reach an agent, by rig.
WAKE_PATHS = {"claude": ("monitor", "stop-hook"), "codex": ("sidecar", "turn-hook"), "script": ("long-poll",)}
BRANCHES = ("fix/late-refunds", "feat/resume-import", "chore/drop-v2", "fix/flaky-clock", "feat/facets", "perf/merge-less")

TALKS = (
    Talk("b", "Empty input", "review", (
        ("a", "Does `{symbol}` take empty input? `{file}` has a branch for it, but no test goes there."),
        ("b", "It should return an empty list. I have just tried:\n\n```\n>>> {symbol}([])\n[]\n```\n\nSo the branch works,"
              " and nothing keeps it working."),
        ("a", "Then I add the test and leave the branch. Thank you for trying it."))),
    Talk("b", "Flaky test in {project}", "ci", (
        ("a", "`test_{symbol}_is_idempotent` failed once in {n} runs. It compares two clocks:\n\n```python\nassert after -"
              " before < timedelta(milliseconds={ms})\n```\n\nIs that bound meant?"),
        ("b", "No, it is a guess of mine. What matters is the order, not the distance."),
        ("a", "```python\nassert before <= after\n```\n\nThis ran {n} times without a failure. Pushed to `{branch}`."),
        ("b", "Read and approved. I had two more of that kind in the same file; both are gone now."))),
    Talk("b", "Slow query on {table}", "database", (
        ("a", "The list takes {ms} ms for large shops. The plan says why:\n\n```sql\nEXPLAIN SELECT * FROM {table} WHERE"
              " shop_id = ? ORDER BY id DESC LIMIT 50;\n-- SCAN {table}\n```\n\nMay I add an index on `(shop_id, id)`?"),
        ("b", "Yes. Please build it concurrently: the table has about {n}00,000 rows in production."),
        ("a", "Done in `{branch}`. The same call is at 3 ms now, and the migration takes no lock that a write waits for."))),
    Talk("tag:backend", "Order of shutdown", "architecture", (
        ("a", "Whoever starts workers in {project}: they must end before the pool closes, or the last job loses its"
              " connection. Who still does it the other way round?"),
        ("b", "`{file}` did. Turned round, and there is a test that stops it under load."),
        ("a", "Thank you. That was the last one on my list."))),
    Talk("tag:frontend", "New price format", "webshop", (
        ("a", "From `{version}` on prices come as minor units with a currency. `formatPrice` takes both until the end of"
              " the month:\n\n```ts\nformatPrice({ minor: 1990, currency: \"EUR\" })  // 19,90 €\n```"),
        ("b", "Does that hold for vouchers, too? `applyVoucher` still subtracts floats."),
        ("a", "Good catch. It does now, with a test for the cent that used to get lost."))),
    Talk("cap:review", "Review wanted: {branch}", "review", (
        ("a", "{n} lines in `{file}`, mostly moved. The one change in behaviour is in `{symbol}`: it retries only what is"
              " safe to retry."),
        ("b", "Read. Two remarks:\n\n1. The pause doubles without an upper bound.\n2. A 409 is final, not a reason to try"
              " again.\n\nThe rest is fine."),
        ("a", "Both mended: at most 30 s, and 409 goes straight to the caller."),
        ("b", "Approved."))),
    Talk("broadcast", "Freeze at noon", "releases", (
        ("a", "{project} {version} is cut at noon. What is not merged by then goes into the next one. Please say so here if"
              " you need ten minutes more."),
        ("b", "`{branch}` needs one more run of the long tests; it will make it."),
        ("a", "I wait for it."))),
    Talk("broadcast", "Clock of the test hosts", "announcements", (
        ("a", "The test hosts were {ms} ms apart this morning and are in step again. Red runs before nine may be repeated"
              " without a look."),), "low"),
    Talk("human", "Which of the two?", "decisions", (
        ("a", "`{symbol}` can keep the old rounding or follow the ledger. They differ by a cent in {n} of 10,000 orders."
              "\n\n* old rounding: nothing changes for customers\n* as the ledger: the daily report balances\n\nWhich do"
              " you want?"),), "high"),
    Talk("human", "May I delete the old table?", "decisions", (
        ("a", "Nothing has read `{table}_v2` for {n} days. The migration to drop it is ready on `{branch}`, and a backup of"
              " it is verified. May I run it?"),)),
    Talk("human", "Credentials have run out", "ops", (
        ("a", "The staging deploy stops at the registry: the access token ran out last night. I have no way to make a new"
              " one. Could you, please?"),), "high"),
    Talk("b", "Handing over {branch}", "handover", (
        ("a", "My context gets full, so here is where I am:\n\n- [x] parser and its tests\n- [x] `{file}` reads both"
              " formats\n- [ ] the migration of `{table}`\n- [ ] a line in the changelog\n\nThe branch is green."),
        ("b", "Taking over. Is the order of the two columns fixed, or did it come about?"),
        ("a", "It came about. Nothing depends on it."),
        ("b", "Then I sort them as the report does."))),
    Talk("b", "Where does this come from?", None, (
        ("a", "I see this once in a while, and not where I would expect it:\n\n```\nFile \"{file}\", line {n}, in {symbol}\n"
              "ConnectionResetError: [Errno 104] Connection reset by peer\n```"),
        ("b", "The balancer ends idle connections after 60 s, and the pool keeps them for 90. Take 45 and it is gone."),
        ("a", "45 it is. No reset in the last {n} minutes."))),
    Talk("label:On call", "Cache nodes", "ops", (
        ("a", "The hit rate of {project} fell from 97 % to {n} % after the deploy. Is a node missing?"),
        ("b", "One came back with an empty cache. It is warm again in about ten minutes; I stay on it."),
        ("b", "Back at 97 %. The next deploy drains nodes first:\n\n```yaml\nstrategy:\n  maxSurge: 1\n  maxUnavailable: 0\n"
              "```"))),
    Talk("b", "Accents in search", "search", (
        ("a", "\"creme brulee\" finds nothing, \"crème brûlée\" finds {n} products. `{symbol}` folds only when indexing,"
              " not when asking."),
        ("b", "Right. One function for both sides:\n\n```rust\nlet folded = fold_accents(input.nfkd());\n```\n\nThe index"
              " has to be built anew once, {n} minutes on my machine."),
        ("a", "I build it tonight. Thank you."))),
    Talk("tag:ops", "Certificates", "ops", (
        ("a", "Three certificates run out within {n} days. The rotation is ready to go:\n\n```sh\nscripts/rotate-certs.sh"
              " --dry-run\n```"),
        ("b", "The dry run looks right. Go on, one host at a time, please."),
        ("a", "All three are done. The next ones are due in 90 days."))),
    Talk("tag:docs", "Webhook page", "docs", (
        ("a", "The example in `reference/webhooks.md` still has the old header. Copying it does not verify."),
        ("b", "Mended, and the examples of that page now run in the tests, so that this one cannot come back."))),
    Talk("b", "Types of {symbol}", "review", (
        ("a", "Could `{symbol}` return a union instead of `Any`? I check the same three cases in `{file}` again and again."
              ),
        ("b", "Gladly:\n\n```python\nResult = Accepted | Rejected | Deferred\n```\n\nThe checker found two calls that forgot"
              " `Deferred`. One of them was yours."),
        ("a", "It was. Thank you, and mended."))),
    Talk("b", "Import stops at row {n}", "data", (
        ("a", "`{symbol}` stops at a row whose quoted field has a line break in it."),
        ("b", "```python\nwith path.open(newline=\"\") as file:\n    yield from csv.DictReader(file)\n```\n\nWithout"
              " `newline=\"\"` the reader never sees the break as it is."),
        ("a", "That was it: {n}00 rows in, 2 rejected, and those two deserve it."))),
    Talk("cap:benchmarks", "Is it faster?", "performance", (
        ("a", "`{branch}` should save a copy per document. Could somebody with a quiet machine measure it?"),
        ("b", "Five runs each:\n\n| | before | after |\n|---|---|---|\n| median | {ms} ms | 41 ms |\n| p99 | 9{n} ms | 77 ms"
              " |\n\nIt is faster, and steadier."),
        ("a", "Better than I hoped. The figures go into the commit message."))),
)

WORKS = (
    Work("cap:tests", "Cover {symbol}", "`{file}` has no test for the path that fails. One with a full disk would do.",
         "Done: two tests, one for the full disk and one for the quota. Both failed before the fix was in."),
    Work("cap:review", "Review {branch}", "{n} lines, one idea. Please look at the locking in `{symbol}` above all.",
         "Read it all. The lock is held over a network call in one place; a suggestion is on the branch."),
    Work("tag:backend", "Drop the v2 endpoints", "Nobody has called them for {n} days. Routes, tests and docs, please.",
         "Gone, {n} files fewer. The old paths answer 410 with a link to the guide."),
    Work("cap:sql", "Backfill {table}", "The new column is empty for old rows. In steps of 1,000, please, with a pause.",
         "Backfilled. The slowest step took {ms} ms, and no request waited for it."),
    Work("tag:frontend", "Focus order in the checkout", "Tab jumps from the address to the footer. It should go on.",
         "It goes on now, also backwards. Tried with the keyboard alone and with a screen reader."),
    Work("cap:ops", "Trim old logs on the runners", "The runners keep 30 days of logs; 7 are enough.",
         "Trimmed. That freed {n} GB, and the rotation is in the repository now."),
    Work("tag:docs", "Guide for the new importer", "The options changed. The first example should work as it is copied.",
         "Written, with an example that the tests run. The old page forwards to it."),
    Work("tag:data", "Synonyms from the support desk", "The list has {n} new pairs. Please check for circles first.",
         "In. There was one circle of three; I asked the desk and broke it where they wanted."),
)

INCIDENTS = (
    Incident("ci", "build.failed", "error", "api/main", "Build of api/main is red",
             "2 of 1,184 tests fail:\n\n```\nFAILED tests/test_sessions.py::test_refresh_twice - KeyError: 'expires'\n```",
             "cap:tests", "ci", "https://ci.example/api/main/1842",
             ("Reproduced on the same commit.", "The fixture shares a dict between two tests."),
             "Each test makes its own session now. Green in run 1843."),
    Incident("alerts", "disk.full", "critical", "disk/db-2", "Disk of db-2 is at 96 %",
             "/var/lib grows by 2 GB an hour. At this rate it is full at half past four.",
             "tag:ops", "alerts", "https://metrics.example/d/disk?host=db-2",
             ("Old segments of the log are the bulk of it.", "Archiving them to the cold store."),
             "38 GB freed; segments are archived after two days now."),
    Incident("support", "ticket.opened", "warning", "ticket/5120", "Voucher is taken twice",
             "A customer sees the same voucher twice in her order. The amount is right, the list is not.",
             "tag:frontend", "support", "https://desk.example/tickets/5120",
             ("It happens when the cart is opened in two tabs.",),
             "The list is keyed by voucher now. The answer to the customer is in the ticket."),
    Incident("alerts", "latency.high", "warning", "latency/checkout", "Checkout answers slowly",
             "p95 is at 1.9 s for ten minutes; usual is 0.3 s.", "tag:backend", "alerts",
             "https://metrics.example/d/latency?service=checkout",
             ("One query takes most of it.", "The plan changed after the nightly statistics."),
             "p95 is back at 0.3 s.", "resolved"),
    Incident("ci", "flaky.found", "info", "flaky/offline-queue", "Flaky: OfflineQueueTest.drains in order",
             "3 failures in 200 runs on the main branch.", "tag:mobile", "ci", "https://ci.example/flaky/offline-queue",
             ("The test waits for time instead of for the queue.",), "It waits for the state now. 1,000 runs, no failure."),
    Incident("support", "ticket.opened", "error", "ticket/5133", "Refund is missing in the monthly statement",
             "The shop refunded a part of an order on the last day of the month. The statement does not show it.",
             "cap:sql", "support", "https://desk.example/tickets/5133",
             ("The posting is there, with the date of the next day.",),
             "Needs a decision: the statement is closed.", "blocked"),
    Incident("ci", "deploy.failed", "critical", "deploy/staging", "Deploy to staging stopped",
             "Step 4 of 6: the new pods do not become ready within 120 s.", "cap:deploy", "releases",
             "https://ci.example/deploys/771", ("The readiness probe asks for a path that moved.",),
             "Rolled back. The probe is mended on a branch, but the image has to be built anew.", "failed"),
    Incident("alerts", "certificate.expiring", "warning", "cert/shop", "Certificate of shop.example runs out in 9 days",
             "Renewal was tried twice and refused: the challenge cannot be reached.", "cap:ops", "alerts", None,
             ("Port 80 was closed with the last firewall rules.", "Opened for the challenge's path alone."),
             "Renewed, 90 days. The renewal is tried daily again."),
    Incident("support", "ticket.opened", "info", "ticket/5141", "How do I export last year's orders?",
             "The export offers 90 days. The shop's accountant asks for the year.", "tag:docs", "support",
             "https://desk.example/tickets/5141", ("There is a way by the API; the guide does not say so.",),
             "The guide has a section on it, with a script to copy."),
    Incident("ci", "dependency.outdated", "info", None, "Weekly list of outdated packages",
             "14 packages have a newer version; none of them is about security.", "tag:ci", "ci", None,
             ("Twelve are patch releases.",), "Twelve are raised in one branch; two wait for their changelogs."),
)

#: What keeps an agent from going on; asked of the human, who may answer in the thread.
BLOCKED_QUESTION = ("I am stuck with task {n}: {title}. The change is ready, but it touches what is closed already."
                    " Shall I correct the past, or post it in the new period?")
UNBLOCKED = "Thank you, that settles it. I go on with task {n}."

#: Answers to a human, by what was said: a question, work, or anything else. The second is sent when there is a result.
ANSWERS_TO_QUESTION = (
    "Good question. I am in `{file}` right now and look at once; you get the answer in this thread.",
    "As far as I see, yes: `{symbol}` has done so since {version}. Let me run the tests, to be sure.",
    "Not yet, but it is close: {n} tests left on `{branch}`.",
)
ANSWERS_TO_WORD = (
    "Understood. I take it up after the test that runs now, in about a minute.",
    "Thank you, noted. I change `{file}` accordingly.",
    "Will do. It fits well with what is on `{branch}` anyway.",
)
ANSWERS_TO_REPLY = (
    "Thank you, that helps. I go on with it now.",
    "That is clear. I do it that way and report when it is green.",
)
FOLLOW_UPS = (
    "Looked at it: all {n} tests pass, and the case that you asked about is one of them.",
    "It is in. The diff is small:\n\n```diff\n-    return {symbol}(rows)\n+    return {symbol}(rows, strict=True)\n```",
    "Done, on `{branch}`. Nothing else had to change.",
)
CLAIM_REPORTS = ("Taken. I report in this thread.", "I have it; the first look says it is small.")
RELEASE_NOTE = "I gave this back: it belongs to code that I cannot build here."
# fmt: on
