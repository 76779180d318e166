//! A page as a person uses it: real clicks and keys, and waits for what the page shows, which end in any case.

use std::{fs, path::Path};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::{Chromium, Seen};

/// How long the page may take to show what is waited for, in milliseconds.
const PATIENCE: u32 = 20_000;

/// An open page. It watches from the start what comes to it.
#[derive(Debug)]
pub struct Page {
    browser: Chromium,
    session: String,
    seen: Seen,
}

impl Page {
    /// Opens a page in a browser of its own and waits until it is loaded.
    #[must_use]
    pub fn open(mut browser: Chromium, url: &str) -> Self {
        let target = browser.ask(None, "Target.createTarget", json!({ "url": "about:blank" }));
        let attached = browser.ask(
            None,
            "Target.attachToTarget",
            json!({ "targetId": target["targetId"], "flatten": true }),
        );
        let session = attached["sessionId"]
            .as_str()
            .expect("a session")
            .to_owned();
        let mut page = Self {
            browser,
            session,
            seen: Seen::default(),
        };
        for domain in ["Page", "Runtime", "Network", "Log"] {
            page.ask(&format!("{domain}.enable"), json!({}));
        }
        page.ask("Page.setLifecycleEventsEnabled", json!({ "enabled": true }));
        page.go_to(url);
        page
    }

    /// Loads an address in place of what is there, and waits until it is loaded.
    ///
    /// # Panics
    /// When it cannot be loaded.
    pub fn go_to(&mut self, url: &str) {
        let begun = self.ask("Page.navigate", json!({ "url": url }));
        assert_eq!(begun.get("errorText"), None, "{url}");
        self.browser.wait_until_told("the load of a page", |event| {
            let params = &event["params"];
            params["name"] == "load" && params["loaderId"] == begun["loaderId"]
        });
    }

    /// What an expression gives, with the promise awaited if it is one.
    ///
    /// # Panics
    /// When it throws.
    pub fn evaluate(&mut self, expression: &str) -> Value {
        let mut answer = self.ask(
            "Runtime.evaluate",
            json!({ "expression": expression, "awaitPromise": true, "returnByValue": true }),
        );
        if let Some(thrown) = answer.get("exceptionDetails") {
            panic!("{expression}: {}", thrown["exception"]["description"]);
        }
        answer["result"]["value"].take()
    }

    /// Waits until an expression holds, and gives what it gave.
    ///
    /// # Panics
    /// When it does not come to hold, with the text of the page.
    pub fn wait_for(&mut self, expression: &str) -> Value {
        // The page itself looks, a few times a second, until a bound.
        let waited = self.evaluate(&format!(
            "new Promise((done) => {{
               const until = performance.now() + {PATIENCE};
               const look = () => {{
                 const found = ({expression});
                 if (found) done({{ found }});
                 else if (performance.now() > until) done({{ page: document.body?.innerText }});
                 else setTimeout(look, 20);
               }};
               look();
             }})"
        ));
        match waited.get("found") {
            Some(found) => found.clone(),
            None => panic!(
                "it never came to {expression}, on this page:\n{}",
                waited["page"]
            ),
        }
    }

    /// The text of an element, by its `data-testid`.
    pub fn text(&mut self, id: &str) -> String {
        let text = self.evaluate(&format!("{}.innerText", element(id)));
        text.as_str().unwrap_or_default().to_owned()
    }

    /// Waits until an element's text contains something, and gives the whole of it.
    pub fn wait_for_text(&mut self, id: &str, part: &str) -> String {
        let (element, part) = (element(id), json!(part));
        let text = self.wait_for(&format!(
            "{element}?.innerText.includes({part}) && {element}.innerText"
        ));
        text.as_str().unwrap_or_default().to_owned()
    }

    /// Clicks on an element with the mouse, when it can be clicked on.
    pub fn click(&mut self, id: &str) {
        let element = element(id);
        let place = self.wait_for(&format!(
            "(() => {{
               const it = {element};
               if (!it || it.disabled) return null;
               it.scrollIntoView({{ block: 'nearest' }});
               const box = it.getBoundingClientRect();
               return box.width && {{ x: box.x + box.width / 2, y: box.y + box.height / 2 }};
             }})()"
        ));
        for kind in ["mousePressed", "mouseReleased"] {
            self.ask(
                "Input.dispatchMouseEvent",
                json!({ "type": kind, "x": place["x"], "y": place["y"], "button": "left", "clickCount": 1 }),
            );
        }
    }

    /// Types into whatever has the focus.
    pub fn type_text(&mut self, text: &str) {
        self.ask("Input.insertText", json!({ "text": text }));
    }

    /// Presses a key: `Tab`, `Enter` or `Space`.
    ///
    /// # Panics
    /// For another key.
    pub fn press(&mut self, key: &str) {
        let (code, text) = match key {
            "Tab" => (9, ""),
            "Enter" => (13, "\r"),
            "Space" => (32, " "),
            _ => panic!("no such key here: {key}"),
        };
        let named = if key == "Space" { " " } else { key };
        for kind in ["keyDown", "keyUp"] {
            let mut event =
                json!({ "type": kind, "key": named, "code": key, "windowsVirtualKeyCode": code });
            if kind == "keyDown" && !text.is_empty() {
                event["text"] = json!(text);
            }
            self.ask("Input.dispatchKeyEvent", event);
        }
    }

    /// The `data-testid` or else the `id` of what has the focus.
    pub fn focused(&mut self) -> String {
        let id =
            self.evaluate("document.activeElement.dataset.testid ?? document.activeElement.id");
        id.as_str().unwrap_or_default().to_owned()
    }

    /// Every cookie that the browser has, also those that scripts do not see.
    pub fn cookies(&mut self) -> Vec<Value> {
        let mut answer = self.ask("Network.getCookies", json!({}));
        match answer["cookies"].take() {
            Value::Array(cookies) => cookies,
            other => panic!("no list of cookies: {other}"),
        }
    }

    /// Puts a cookie of [`cookies`](Self::cookies) back, as whoever kept a copy would.
    pub fn put_cookie(&mut self, cookie: &Value) {
        let copy = json!({ "name": cookie["name"], "value": cookie["value"], "domain": cookie["domain"], "path": "/" });
        self.ask("Network.setCookie", copy);
    }

    /// What a screen reader is told of each control: its role and its name.
    pub fn controls(&mut self) -> Vec<(String, String)> {
        let tree = self.ask("Accessibility.getFullAXTree", json!({}));
        let nodes = tree["nodes"].as_array().expect("a tree of nodes");
        let told =
            |node: &Value, what: &str| node[what]["value"].as_str().unwrap_or_default().to_owned();
        nodes
            .iter()
            .filter(|node| node["ignored"] != true)
            .map(|node| (told(node, "role"), told(node, "name")))
            .filter(|(role, _)| {
                let controls = [
                    "button",
                    "textbox",
                    "checkbox",
                    "progressbar",
                    "log",
                    "table",
                ];
                controls.contains(&role.as_str())
            })
            .collect()
    }

    /// Makes the page as wide as this, in pixels.
    pub fn resize(&mut self, width: u32, height: u32) {
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false }),
        );
    }

    /// Writes a picture of the page down.
    ///
    /// # Panics
    /// When the file cannot be written.
    pub fn screenshot(&mut self, file: &Path) {
        let picture = self.ask("Page.captureScreenshot", json!({ "format": "png" }));
        let picture = picture["data"].as_str().expect("a picture");
        let picture = STANDARD.decode(picture).expect("base64");
        let folder = file.parent().expect("a folder");
        fs::create_dir_all(folder).expect("the folder can be made");
        let beside = file.with_extension("png.part");
        fs::write(&beside, picture).expect("the picture can be written");
        fs::rename(&beside, file).expect("the picture can be renamed");
    }

    /// All that came to the page so far.
    pub fn seen(&mut self) -> &Seen {
        let events = self.browser.events();
        for event in events
            .iter()
            .filter(|event| event["sessionId"] == *self.session)
        {
            self.seen.note(event);
        }
        for id in self.seen.replies_without_body() {
            let asked = json!({ "requestId": id });
            let session = Some(self.session.as_str());
            let body = match self
                .browser
                .try_ask(session, "Network.getResponseBody", asked)
            {
                Ok(body) if body["base64Encoded"] == true => {
                    let bytes = STANDARD.decode(body["body"].as_str().unwrap_or_default());
                    String::from_utf8_lossy(&bytes.expect("base64")).into_owned()
                }
                Ok(body) => body["body"].as_str().unwrap_or_default().to_owned(),
                Err(refusal) => panic!("a reply's body cannot be had: {refusal}"),
            };
            self.seen.note_body(&id, body);
        }
        &self.seen
    }

    fn ask(&mut self, method: &str, params: Value) -> Value {
        self.browser.ask(Some(&self.session), method, params)
    }
}

fn element(id: &str) -> String {
    format!("document.querySelector('[data-testid={id}]')")
}
