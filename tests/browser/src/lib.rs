//! What the tests of the example `storefront` are made of. What lives where: `devtools.rs` Chromium and its protocol, `page.rs` a page as a
//! person uses it, `seen.rs` all that came to the browser, `shop.rs` the example as a process of its own.

mod devtools;
mod page;
mod seen;
mod shop;

pub use self::{
    devtools::Chromium,
    page::Page,
    seen::{Seen, holds_jwt},
    shop::Shop,
};
