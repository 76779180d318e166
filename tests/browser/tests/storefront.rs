//! The example `storefront` as a shopper uses it, and as somebody who is after the tokens looks at it.

use std::path::Path;

use browser::{Chromium, Page, Shop, holds_jwt};

const EMAIL: &str = "buyer@demo.example";
const PASSWORD: &str = "demo-buyer-password";

fn open(shop: &Shop) -> Page {
    let mut page = Page::open(Chromium::start(), shop.address());
    page.wait_for("document.querySelector('#login-card')?.hidden === false");
    page
}

/// Fills the form in by keyboard alone, from where the page has put the focus.
fn log_in(page: &mut Page, password: &str) {
    page.evaluate("document.getElementById('email').value = ''");
    page.evaluate("document.getElementById('email').focus()");
    page.type_text(EMAIL);
    page.press("Tab");
    assert_eq!(page.focused(), "password");
    page.evaluate("document.getElementById('password').value = ''");
    page.type_text(password);
    page.press("Enter");
}

/// What is left of the token's life, in seconds, as the page shows it.
const LEFT: &str = "document.querySelector('[data-testid=remaining]').innerText.split(':').reduce((all, part) => all * 60 + Number(part), 0)";

#[test]
fn a_shopper_logs_in_and_a_refused_token_is_healed_and_no_token_ever_seen() {
    let shop = Shop::start();
    let mut page = open(&shop);

    log_in(&mut page, "not the password");
    let problem = page.wait_for_text("login-problem", "password");
    assert_eq!(
        problem,
        "That e-mail address and password do not belong together."
    );
    assert_eq!(page.cookies(), [] as [serde_json::Value; 0]);

    log_in(&mut page, PASSWORD);
    page.wait_for_text("who", "Bea Buyer");
    assert_eq!(page.wait_for_text("customer", "101"), "101");
    assert_eq!(page.text("from"), "log in");
    page.wait_for("document.activeElement.id === 'load'");

    // An hour, counted down.
    page.wait_for(&format!("{LEFT} > 3500 && {LEFT} <= 3600"));
    let left = page.evaluate(LEFT);
    page.wait_for(&format!("{LEFT} < {left}"));
    let share = page.evaluate("document.querySelector('[data-testid=life]').value");
    assert!(
        share
            .as_f64()
            .is_some_and(|share| share > 0.95 && share < 1.0),
        "{share}"
    );

    page.click("load");
    page.wait_for_text("events", "orders: sent once");
    assert!(page.text("orders").contains("#1042"));
    let minted = |page: &mut Page| page.text("minted").parse::<u32>().expect("a number");
    let before = (minted(&mut page), page.text("until"));

    // Refused, and healed within the one call.
    page.click("revoke");
    page.wait_for_text("events", "refuses this token from now on");
    page.click("load");
    page.wait_for_text("events", "token refused → replaced, call sent twice");
    page.wait_for_text("from", "mint");
    assert_eq!(minted(&mut page), before.0 + 1);
    assert_eq!(page.text("refused"), "1");
    assert_ne!(page.text("until"), before.1);
    page.wait_for(&format!("{LEFT} > 86000"));
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    page.resize(1100, 740);
    page.screenshot(&root.join("target/browser/storefront.png"));

    // The session is in a cookie that scripts do not see.
    let cookies = page.cookies();
    let [cookie] = cookies.as_slice() else {
        panic!("one cookie: {cookies:?}");
    };
    assert_eq!(cookie["httpOnly"], true);
    assert_eq!(cookie["sameSite"], "Strict");
    assert_eq!(cookie["value"].as_str().map(str::len), Some(32), "128 bits");
    assert_eq!(page.evaluate("document.cookie"), "");
    let stored = page.evaluate("localStorage.length + sessionStorage.length");
    assert_eq!(stored, 0);

    // Logged in still after the page is loaded anew, and logged out for good. The browser forgets the bodies of what it leaves.
    page.seen();
    page.go_to(shop.address());
    page.wait_for_text("who", "Bea Buyer");
    page.click("logout");
    page.wait_for("document.querySelector('#login-card').hidden === false");
    assert_eq!(page.cookies(), [] as [serde_json::Value; 0]);
    page.put_cookie(cookie);
    assert_eq!(page.cookies().len(), 1);
    let status = page.evaluate(
        "fetch('/api/orders', { method: 'POST', body: '{}', headers: { 'content-type': 'application/json' } })
           .then((reply) => reply.text().then(() => reply.status))",
    );
    assert_eq!(status, 401);

    let source = page.evaluate("document.documentElement.outerHTML");
    assert!(!holds_jwt(source.as_str().expect("the page")));
    let seen = page.seen();
    assert_eq!(seen.complaints(), [] as [String; 0]);
    assert_eq!(seen.statuses("api/login"), [401, 200]);
    assert_eq!(seen.statuses("api/orders"), [200, 200, 401]);
    let mut replies = 0;
    for (path, reply) in seen.replies() {
        assert!(!holds_jwt(&reply), "{path}");
        replies += 1;
    }
    assert!(replies >= 15, "{replies} replies");

    // The page is open still, with its connections: they hold up nothing.
    let (printed, logged) = shop.end();
    drop(page);
    assert!(printed.contains("the shop is closed"), "{printed}");
    assert!(!holds_jwt(&printed) && !holds_jwt(&logged));
}

#[test]
fn a_token_outlives_an_outage_and_one_that_is_refused_then_is_told() {
    let shop = Shop::start();
    let mut page = open(&shop);
    log_in(&mut page, PASSWORD);
    page.wait_for_text("who", "Bea Buyer");

    page.click("down");
    page.wait_for_text("events", "the Authentication API is down");
    page.click("load");
    page.wait_for_text("events", "orders: sent once");

    // Now another token is needed, and there is none.
    page.click("revoke");
    page.wait_for_text("events", "refuses this token from now on");
    page.click("load");
    page.wait_for_text(
        "events",
        "The storefront cannot be reached for you just now.",
    );
    page.wait_for_text("from", "none held");
    let seen = page.seen();
    assert_eq!(seen.statuses("api/orders"), [200, 503]);
    assert_eq!(seen.complaints(), [] as [String; 0]);

    drop(page);
    let (_, logged) = shop.end();
    assert!(
        logged.contains("mint_storefront_token"),
        "{logged}"
    );
    assert!(!holds_jwt(&logged));
}

#[test]
fn the_page_can_be_used_by_keyboard_by_ear_and_on_a_telephone() {
    let shop = Shop::start();
    let mut page = open(&shop);
    let named = |page: &mut Page| -> Vec<(String, String)> {
        let controls = page.controls();
        for (role, name) in &controls {
            assert!(!name.is_empty(), "a {role} has no name");
        }
        controls
    };
    let controls = named(&mut page);
    for name in ["E-mail address", "Password", "Log in"] {
        assert!(
            controls.iter().any(|(_, told)| told == name),
            "{name}: {controls:?}"
        );
    }

    log_in(&mut page, PASSWORD);
    page.wait_for_text("who", "Bea Buyer");
    page.wait_for("document.activeElement.id === 'load'");
    // From there each control comes in turn.
    for next in ["revoke", "down"] {
        page.press("Tab");
        assert_eq!(page.focused(), next);
    }
    page.press("Space");
    page.wait_for_text("events", "the Authentication API is down");
    let controls = named(&mut page);
    for control in [
        ("log", "What happened"),
        ("progressbar", "Life of the token that is left"),
        ("checkbox", "Authentication API is down"),
        ("button", "Load orders"),
    ] {
        let (role, name) = control;
        let is_control =
            |told: &(String, String)| told.0 == role && told.1.eq_ignore_ascii_case(name);
        assert!(controls.iter().any(is_control), "{control:?}: {controls:?}");
    }

    page.click("load");
    page.wait_for_text("orders", "#1042");
    page.resize(360, 740);
    page.wait_for("innerWidth === 360");
    let wider = page.evaluate("document.documentElement.scrollWidth - innerWidth");
    assert_eq!(wider, 0, "pixels that stick out");
}
