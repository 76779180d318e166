//! What all calls to one store have in common: its request budget and its retry budget. There is one for each store that
//! a client and its relatives talk to, kept while somebody uses it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use super::{RequestBudget, RequestBudgets};
use crate::{Clock, retry::RetryTokens};

/// One store, seen from the request path.
#[derive(Debug)]
pub(crate) struct StoreLine {
    pub(crate) budget: Arc<dyn RequestBudget>,
    pub(crate) retry_tokens: RetryTokens,
}

#[derive(Debug)]
pub(crate) struct Stores {
    budgets: Arc<dyn RequestBudgets>,
    retry_tokens: RetryTokens,
    by_store: Mutex<HashMap<String, Weak<StoreLine>>>,
}

impl Stores {
    pub(crate) fn new(budgets: Arc<dyn RequestBudgets>, retry_tokens: RetryTokens) -> Self {
        Self {
            budgets,
            retry_tokens,
            by_store: Mutex::default(),
        }
    }

    /// The line of a store; one of its own for credentials that name no store.
    pub(crate) fn of(&self, store_hash: Option<&str>, clock: &Arc<dyn Clock>) -> Arc<StoreLine> {
        let new = || {
            Arc::new(StoreLine {
                budget: self.budgets.of_store(store_hash, clock),
                retry_tokens: self.retry_tokens.full(),
            })
        };
        let Some(store_hash) = store_hash else {
            return new();
        };
        let mut by_store = self.by_store.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = by_store.get(store_hash).and_then(Weak::upgrade) {
            return line;
        }
        by_store.retain(|_, line| line.strong_count() > 0);
        let line = new();
        by_store.insert(store_hash.to_owned(), Arc::downgrade(&line));
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BudgetLimit, LocalBudgets, RetryBudget, clock::SystemClock};

    #[test]
    fn a_store_has_one_line_and_it_goes_with_its_last_user() {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let budgets = Arc::new(LocalBudgets::new(BudgetLimit::default()));
        let stores = Stores::new(budgets, RetryTokens::new(RetryBudget::of(1)));
        let first = stores.of(Some("abc123"), &clock);
        assert!(!Arc::ptr_eq(&first, &stores.of(Some("def456"), &clock)));
        assert!(Arc::ptr_eq(&first, &stores.of(Some("abc123"), &clock)));
        assert!(!Arc::ptr_eq(
            &stores.of(None, &clock),
            &stores.of(None, &clock)
        ));
        assert!(first.retry_tokens.pay() && !first.retry_tokens.pay());
        drop(first);
        drop(stores.of(Some("ghi789"), &clock));
        assert_eq!(stores.by_store.lock().unwrap().len(), 1);
    }
}
