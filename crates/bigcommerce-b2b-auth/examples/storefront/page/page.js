// What the page does: it asks the back end, and shows what comes back as text. It never sees a token.

const at = (id) => document.getElementById(id);

/** The life of the token as it was told last, and when that was by a clock that nobody turns. */
let life = null;

/** Asks the back end. Answers `{ok, status, body}`, also when it cannot be reached. */
async function ask(method, path, body = {}) {
  const options = { method, headers: { accept: "application/json" } };
  if (method === "POST") {
    options.headers["content-type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  try {
    const reply = await fetch(path, options);
    const answer = await reply.json().catch(() => ({}));
    return { ok: reply.ok, status: reply.status, body: answer };
  } catch {
    return { ok: false, status: 0, body: { error: "The shop cannot be reached." } };
  }
}

/** Adds a line to what happened, the newest on top. */
function tell(kind, text) {
  const line = document.createElement("li");
  line.className = kind;
  const time = document.createElement("time");
  time.textContent = new Date().toLocaleTimeString([], { hour12: false });
  const words = document.createElement("span");
  words.textContent = text;
  line.append(time, words);
  at("events").prepend(line);
}

function showLoggedOut() {
  life = null;
  at("who").textContent = "";
  at("logout").hidden = true;
  at("account").hidden = true;
  at("login-card").hidden = false;
  at("orders").hidden = true;
  at("events").replaceChildren();
  at("email").focus();
}

async function showLoggedIn(name) {
  at("who").textContent = name;
  at("logout").hidden = false;
  at("login-card").hidden = true;
  at("login-problem").textContent = "";
  at("account").hidden = false;
  await showToken();
}

/** Fetches how the token is, and shows it. */
async function showToken() {
  const reply = await ask("GET", "/api/token");
  if (reply.status === 401) return showLoggedOut();
  if (!reply.ok) return;
  const { customer, token, counts } = reply.body;
  at("customer").textContent = String(customer);
  at("from").textContent = token ? token.from : "none held";
  for (const [name, count] of Object.entries(counts)) {
    at(name).textContent = String(count);
  }
  life = token && {
    ends: performance.now() + token.seconds_left * 1000,
    whole: token.life_seconds * 1000,
  };
  at("until").textContent = token
    ? `left, until ${new Date(token.expires_at * 1000).toLocaleString([], { dateStyle: "medium", timeStyle: "medium", hour12: false })}`
    : "the next call mints one";
  tick();
}

/** Shows what is left of the token's life. */
function tick() {
  const left = life ? Math.max(0, life.ends - performance.now()) : 0;
  const seconds = Math.ceil(left / 1000);
  const parts = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  at("remaining").textContent = life ? parts.map((part) => String(part).padStart(2, "0")).join(":") : "–";
  at("life").value = life ? Math.min(1, left / life.whole) : 0;
}

function showOrders(orders) {
  const rows = orders.map((order) => {
    const row = document.createElement("tr");
    for (const text of [`#${order.id}`, order.placed, order.status, order.total]) {
      const cell = document.createElement("td");
      cell.textContent = text;
      row.append(cell);
    }
    row.lastChild.className = "number";
    return row;
  });
  at("orders").tBodies[0].replaceChildren(...rows);
  at("orders").hidden = false;
}

/** Runs what a button does, with the button disabled meanwhile. */
function onClick(id, work) {
  at(id).addEventListener("click", async () => {
    at(id).disabled = true;
    await work();
    at(id).disabled = false;
  });
}

at("login").addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = at("login").querySelector("button");
  button.disabled = true;
  at("login-problem").textContent = "";
  const { ok, body } = await ask("POST", "/api/login", {
    email: at("email").value,
    password: at("password").value,
  });
  button.disabled = false;
  if (!ok) {
    at("login-problem").textContent = body.error ?? "That did not work.";
    at("password").select();
    return;
  }
  at("password").value = "";
  await showLoggedIn(body.name);
  at("load").focus();
});

onClick("load", async () => {
  const { ok, status, body } = await ask("POST", "/api/orders");
  if (status === 401) return showLoggedOut();
  if (!ok) {
    tell("bad", `orders: ${body.error ?? "that did not work."}`);
  } else {
    showOrders(body.orders);
    if (body.sent > 1) tell("healed", "token refused → replaced, call sent twice");
    else tell("good", "orders: sent once");
  }
  await showToken();
});

onClick("revoke", async () => {
  const { status, body } = await ask("POST", "/api/demo/revoke");
  if (status === 401) return showLoggedOut();
  tell("warn", body.revoked ? "the storefront refuses this token from now on" : "there is no token to refuse");
});

at("down").addEventListener("change", async () => {
  const on = at("down").checked;
  const { status } = await ask("POST", "/api/demo/maintenance", { on });
  if (status === 401) return showLoggedOut();
  tell("warn", on ? "the Authentication API is down: no new tokens" : "the Authentication API is up again");
});

onClick("logout", async () => {
  await ask("POST", "/api/logout");
  showLoggedOut();
});

setInterval(tick, 250);

const { body } = await ask("GET", "/api/session");
if (body.name) await showLoggedIn(body.name);
else showLoggedOut();
