//! What `single_flight.rs` is compiled against: shuttle's types by the names that it knows, those of `super::sync` as well as those of
//! `tokio::sync`.
//!
//! Shuttle's `Arc` is the standard library's, and every atomic operation is sequentially consistent, whatever order it asks
//! for.

pub(crate) use shuttle::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};
pub(crate) use shuttle_tokio::sync::Notify;

/// Where another task may go on. Shuttle lets it before the operations of its own types alone, so that what happens to
/// others would be taken for one step with what was there before.
#[derive(Debug, Default)]
pub(crate) struct Moment(AtomicBool);

impl Moment {
    pub(crate) fn pass(&self) {
        self.0.load(Ordering::SeqCst);
    }
}

pub(crate) mod watch {
    //! `watch` with `Sender::new`, which shuttle-tokio does not have yet, and with a moment before the receivers are counted, or
    //! become more or fewer: it counts them by atomics of the standard library.

    use std::ops::{Deref, DerefMut};

    use shuttle_tokio::sync::watch::{self, channel};

    use super::Moment;

    pub(crate) struct Sender<T> {
        sender: watch::Sender<T>,
        moment: Moment,
    }

    impl<T> Sender<T> {
        pub(crate) fn new(value: T) -> Self {
            Self {
                sender: channel(value).0,
                moment: Moment::default(),
            }
        }

        pub(crate) fn subscribe(&self) -> Receiver<T> {
            self.moment.pass();
            Receiver {
                receiver: self.sender.subscribe(),
                moment: Moment::default(),
            }
        }

        pub(crate) fn receiver_count(&self) -> usize {
            self.moment.pass();
            self.sender.receiver_count()
        }
    }

    impl<T> Deref for Sender<T> {
        type Target = watch::Sender<T>;

        fn deref(&self) -> &Self::Target {
            &self.sender
        }
    }

    #[derive(Debug)]
    pub(crate) struct Receiver<T> {
        receiver: watch::Receiver<T>,
        moment: Moment,
    }

    impl<T> Clone for Receiver<T> {
        fn clone(&self) -> Self {
            self.moment.pass();
            Self {
                receiver: self.receiver.clone(),
                moment: Moment::default(),
            }
        }
    }

    impl<T> Drop for Receiver<T> {
        fn drop(&mut self) {
            self.moment.pass();
        }
    }

    impl<T> Deref for Receiver<T> {
        type Target = watch::Receiver<T>;

        fn deref(&self) -> &Self::Target {
            &self.receiver
        }
    }

    impl<T> DerefMut for Receiver<T> {
        fn deref_mut(&mut self) -> &mut Self::Target {
            &mut self.receiver
        }
    }
}
