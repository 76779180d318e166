//! The cases of the contract: each a store that is new, a few steps, and what has to come of them.

use super::*;

macro_rules! cases {
    ($($name:ident,)*) => {
        /// All cases, in an order in which the first violation tells the most.
        pub const CASES: &[Case] = &[$(Case {
            name: stringify!($name),
            run: |run| Box::pin($name(run)),
        },)*];
    };
}

cases! {
    a_token_that_was_put_is_loaded_by_another_process,
    times_come_back_to_the_millisecond,
    secrets_come_back_byte_for_byte,
    a_store_shows_no_secret_in_its_debug,
    tokens_of_other_keys_are_not_loaded,
    keys_that_look_alike_are_told_apart,
    an_older_token_does_not_displace_a_newer_one,
    a_newer_token_takes_the_place_of_an_older_one,
    the_same_token_can_be_put_again,
    a_token_that_has_expired_is_not_loaded,
    a_token_expires_by_itself,
    a_newer_token_brings_its_own_expiry,
    a_rejected_token_is_removed,
    what_is_older_than_a_rejected_token_is_removed,
    a_late_rejection_leaves_a_newer_token,
    a_rejected_token_is_not_stored_again,
    what_was_never_there_can_be_rejected,
    what_is_older_than_a_rejected_token_is_not_stored,
    a_rejected_token_is_known_by_its_text,
    what_is_later_than_a_rejected_token_is_stored,
    an_earlier_rejection_is_not_forgotten_for_a_later_one,
    a_rejection_concerns_one_key,
    a_rejection_lasts_until_the_token_would_have_expired,
    a_lease_is_held_by_one,
    leases_of_other_keys_are_free,
    a_lease_runs_out_by_itself,
    a_lease_that_is_given_back_is_free,
    a_lease_is_not_given_back_by_anybody_else,
    a_lease_that_ran_out_does_not_give_back_the_next_one,
    no_two_leases_have_the_same_owner,
    what_is_not_there_can_be_given_back,
    tokens_and_leases_do_not_touch_each_other,
    a_forgotten_customer_has_no_token_left,
    what_was_requested_before_a_customer_was_forgotten_is_not_stored,
    what_is_requested_after_a_customer_was_forgotten_is_stored,
    a_customer_can_be_forgotten_again,
    to_forget_a_customer_concerns_no_other,
    to_forget_a_customer_leaves_rejections_and_leases,
    of_many_who_ask_at_once_one_gets_the_lease,
    of_many_that_are_put_at_once_the_newest_stays,
    a_token_that_is_put_and_rejected_at_once_does_not_stay,
    a_fingerprint_is_the_same_in_each_process,
    fingerprints_of_different_tokens_differ,
    a_fingerprint_is_neither_the_token_nor_a_hash_without_a_key,
}

async fn a_token_that_was_put_is_loaded_by_another_process(run: &Run<'_>) -> Checked {
    let (key, token) = (run.key()?, run.token("a token", 0, 0));
    for store in [run.one, run.other] {
        run.loads("a load from the empty store", store, &key, None)
            .await?;
    }
    run.puts("a put", run.one, &key, &token, Put::Stored)
        .await?;
    for (step, store) in [
        ("a load by the other process", run.other),
        ("a load by the same process", run.one),
        ("a second load", run.other),
    ] {
        run.loads(step, store, &key, Some(&token)).await?;
    }
    Ok(())
}

async fn times_come_back_to_the_millisecond(run: &Run<'_>) -> Checked {
    // The second one has not a whole number of milliseconds, which a `StoredToken` makes of it.
    for (customer, step, finer) in [
        (
            1,
            "a load of times with milliseconds",
            Duration::from_millis(1),
        ),
        (2, "a load of finer times", Duration::from_micros(998_500)),
    ] {
        let key = run.key_of("contract", customer)?;
        let token = StoredToken::new(
            "a token",
            later(run.start, HOUR + finer),
            later(run.start, finer),
        );
        run.puts("a put", run.one, &key, &token, Put::Stored)
            .await?;
        run.loads(step, run.other, &key, Some(&token)).await?;
    }
    Ok(())
}

async fn secrets_come_back_byte_for_byte(run: &Run<'_>) -> Checked {
    let long = "0123456789abcdef".repeat(1024);
    let secrets = [
        ("a load of a text with spaces at its ends", " a token\t "),
        ("a load of a text with line breaks", "\r\na\ntoken\r\n"),
        ("a load of quotes and backslashes", r#""a\u0041'token`\\""#),
        ("a load of separators", "a:b|c,d;e=f&g/h?i#j%20{k}[l]"),
        (
            "a load of a NUL and other control characters",
            "\0a\x01\x1b[0mtoken\x7f\0",
        ),
        (
            "a load of letters outside ASCII",
            "t\u{f6}ken \u{1f511} e\u{301} \u{e9} \u{feff}",
        ),
        ("a load of a number", "0012345678901234567890"),
        ("a load of a word with a meaning in JSON", "null"),
        ("a load of 16 KiB", &long),
    ];
    for (customer, (step, secret)) in (1..).zip(secrets) {
        let (key, token) = (run.key_of("contract", customer)?, run.token(secret, 0, 0));
        run.puts("a put", run.one, &key, &token, Put::Stored)
            .await?;
        run.loads(step, run.other, &key, Some(&token)).await?;
    }
    Ok(())
}

async fn a_store_shows_no_secret_in_its_debug(run: &Run<'_>) -> Checked {
    let token = run.token("hunter2", 0, 0);
    let (kept, rejected) = (run.key()?, run.key_of("another", 42)?);
    run.puts("a put", run.one, &kept, &token, Put::Stored)
        .await?;
    run.answer("a load", run.other.load(&kept).await)?;
    run.rejects("a reject", run.one, &rejected, &token).await?;
    let cat = Secret::from("hunter2-customer-access-token");
    for store in [run.one, run.other] {
        store.fingerprint(&cat);
        // Also where the bytes are shown as numbers.
        let bytes = format!("{:?}", "hunter2".as_bytes());
        let bytes = bytes.trim_matches(['[', ']']);
        let shown = format!("{store:?} {store:#?}");
        let flat: String = shown.split_whitespace().collect::<Vec<_>>().join(" ");
        run.holds(
            "the Debug of a store with a token",
            "nothing of the token",
            "a part of it",
            !shown.contains("hunter2") && !flat.contains(bytes),
        )?;
    }
    Ok(())
}

/// Puts a token under each key, all of them equally new, and sees whether each is still there at the end.
async fn kept_apart(run: &Run<'_>, keys: &[StoreKey]) -> Checked {
    let tokens: Vec<_> = (0..keys.len())
        .map(|number| run.token(&format!("the token of key {number}"), 0, 0))
        .collect();
    for (key, token) in keys.iter().zip(&tokens) {
        run.loads("a load before the put", run.other, key, None)
            .await?;
        run.puts("a put", run.one, key, token, Put::Stored).await?;
    }
    for (key, token) in keys.iter().zip(&tokens) {
        run.loads("a load after all puts", run.other, key, Some(token))
            .await?;
    }
    Ok(())
}

async fn tokens_of_other_keys_are_not_loaded(run: &Run<'_>) -> Checked {
    kept_apart(run, &run.different_keys()?).await
}

async fn keys_that_look_alike_are_told_apart(run: &Run<'_>) -> Checked {
    // Where the parts are put together with a separator, or with none.
    let mut keys = vec![
        run.key_of("s", 11)?.in_channel(run.channel(1)?),
        run.key_of("s", 1)?.in_channel(run.channel(11)?),
        run.key_of("s1", 1)?.in_channel(run.channel(1)?),
        run.key_of("s", 11)?
            .with_customer_access_token(Fingerprint::new(1)),
        run.key_of("s", 1)?
            .with_customer_access_token(Fingerprint::new(11)),
    ];
    for separator in ["|", ",", ";", "-", "_", "="] {
        keys.push(run.key_of(&format!("s{separator}1"), 2)?);
        keys.push(run.key_of(&format!("s{separator}1{separator}2"), 3)?);
    }
    keys.push(run.key_of("s", 1)?.in_channel(run.channel(2)?));
    keys.push(
        run.key_of("s", 1)?
            .in_channel(run.channel(2)?)
            .with_customer_access_token(Fingerprint::new(3)),
    );
    // What a server may take for a pattern, or for the part of a key that tells where it belongs.
    keys.push(run.key_of("*", 1)?);
    keys.push(run.key_of("{s}", 1)?);
    kept_apart(run, &keys).await
}

async fn an_older_token_does_not_displace_a_newer_one(run: &Run<'_>) -> Checked {
    let (key, there) = (run.key()?, run.token("the newer", 5, 5));
    run.puts("the put of the newer", run.one, &key, &there, Put::Stored)
        .await?;
    for (step, older) in [
        (
            "the put of one that expires earlier",
            run.token("expires earlier", 4, 4),
        ),
        (
            "the put of one that expires earlier, though it was requested later",
            run.token("requested later", 4, 6),
        ),
        (
            "the put of one that was requested earlier",
            run.token("requested earlier", 5, 4),
        ),
    ] {
        run.puts(step, run.other, &key, &older, Put::NewerIsThere)
            .await?;
        run.loads("the load after it", run.one, &key, Some(&there))
            .await?;
    }
    Ok(())
}

async fn a_newer_token_takes_the_place_of_an_older_one(run: &Run<'_>) -> Checked {
    let key = run.key()?;
    for (step, newer) in [
        ("the put into the empty store", run.token("the first", 5, 5)),
        (
            "the put of one that was requested later",
            run.token("requested later", 5, 6),
        ),
        (
            "the put of one that expires later, though it was requested earlier",
            run.token("expires later", 6, 4),
        ),
    ] {
        run.puts(step, run.one, &key, &newer, Put::Stored).await?;
        run.loads("the load after it", run.other, &key, Some(&newer))
            .await?;
    }
    Ok(())
}

async fn the_same_token_can_be_put_again(run: &Run<'_>) -> Checked {
    let (key, token) = (run.key()?, run.token("a token", 0, 0));
    for (step, store) in [
        ("the first put", run.one),
        ("the second put, by the same process", run.one),
        ("the third put, by the other process", run.other),
    ] {
        run.puts(step, store, &key, &token, Put::Stored).await?;
    }
    run.loads("the load", run.other, &key, Some(&token)).await
}

async fn a_token_that_has_expired_is_not_loaded(run: &Run<'_>) -> Checked {
    let key = run.key()?;
    let expired = StoredToken::new("a token", run.start, run.start);
    run.answer(
        "a put",
        run.one
            .put_if_newer(&key, &expired, CustomerEpoch::default())
            .await,
    )?;
    run.loads(
        "the load of a token that was put after its time",
        run.other,
        &key,
        None,
    )
    .await?;
    let token = run.token("another token", 0, 0);
    run.puts("a put", run.one, &key, &token, Put::Stored)
        .await?;
    run.answer(
        "the put of an expired token",
        run.one
            .put_if_newer(&key, &expired, CustomerEpoch::default())
            .await,
    )?;
    run.loads(
        "the load after an expired token was put",
        run.other,
        &key,
        Some(&token),
    )
    .await
}

async fn a_token_expires_by_itself(run: &Run<'_>) -> Checked {
    let (key, token) = (run.key()?, run.short_lived("a token"));
    // On a slow machine it may have expired on its way: so nothing is asked of it while it lives.
    run.answer(
        "a put",
        run.one
            .put_if_newer(&key, &token, CustomerEpoch::default())
            .await,
    )?;
    run.outlive_a_moment().await;
    for store in [run.other, run.one] {
        run.loads("the load after its time", store, &key, None)
            .await?;
    }
    Ok(())
}

async fn a_newer_token_brings_its_own_expiry(run: &Run<'_>) -> Checked {
    let (key, first, second) = (
        run.key()?,
        run.short_lived("the first"),
        run.token("the second", 0, 0),
    );
    run.answer(
        "the put of the first",
        run.one
            .put_if_newer(&key, &first, CustomerEpoch::default())
            .await,
    )?;
    run.puts("the put of the second", run.one, &key, &second, Put::Stored)
        .await?;
    run.outlive_a_moment().await;
    run.loads(
        "the load after the time of the first",
        run.other,
        &key,
        Some(&second),
    )
    .await
}

async fn a_rejected_token_is_removed(run: &Run<'_>) -> Checked {
    let (key, token) = (run.key()?, run.token("a token", 0, 0));
    run.puts("a put", run.one, &key, &token, Put::Stored)
        .await?;
    run.rejects("the reject", run.other, &key, &token).await?;
    for store in [run.one, run.other] {
        run.loads("the load after it", store, &key, None).await?;
    }
    Ok(())
}

async fn what_is_older_than_a_rejected_token_is_removed(run: &Run<'_>) -> Checked {
    let (key, older, rejected) = (
        run.key()?,
        run.token("the older", 0, 0),
        run.token("the rejected", 1, 1),
    );
    run.puts("the put of the older", run.one, &key, &older, Put::Stored)
        .await?;
    run.rejects("the reject of a newer one", run.other, &key, &rejected)
        .await?;
    run.loads("the load after it", run.one, &key, None).await
}

async fn a_late_rejection_leaves_a_newer_token(run: &Run<'_>) -> Checked {
    let rejected = run.token("the rejected", 1, 1);
    for (customer, step, newer) in [
        (
            1,
            "the reject while a newer token is there",
            run.token("the newer", 2, 2),
        ),
        (
            2,
            "the reject while a token is there that was requested with it and expires later",
            run.token("to live longer", 2, 1),
        ),
        (
            3,
            "the reject while a token is there that was requested later and expires earlier",
            run.token("to live shorter", 0, 2),
        ),
    ] {
        let key = run.key_of("contract", customer)?;
        run.puts("the put of the newer", run.one, &key, &newer, Put::Stored)
            .await?;
        run.rejects(step, run.other, &key, &rejected).await?;
        run.loads("the load after it", run.one, &key, Some(&newer))
            .await?;
    }
    Ok(())
}

async fn a_rejected_token_is_not_stored_again(run: &Run<'_>) -> Checked {
    let (key, token) = (run.key()?, run.token("a token", 0, 0));
    run.puts("the first put", run.one, &key, &token, Put::Stored)
        .await?;
    run.rejects("the reject", run.other, &key, &token).await?;
    for store in [run.one, run.other] {
        run.puts(
            "the put after the reject",
            store,
            &key,
            &token,
            Put::Rejected,
        )
        .await?;
        run.loads("the load after it", store, &key, None).await?;
    }
    Ok(())
}

async fn what_was_never_there_can_be_rejected(run: &Run<'_>) -> Checked {
    let (key, token) = (run.key()?, run.token("a token", 0, 0));
    run.rejects("the reject, with an empty store", run.one, &key, &token)
        .await?;
    run.puts("the put after it", run.other, &key, &token, Put::Rejected)
        .await?;
    run.loads("the load after that", run.other, &key, None)
        .await
}

async fn what_is_older_than_a_rejected_token_is_not_stored(run: &Run<'_>) -> Checked {
    let (key, rejected) = (run.key()?, run.token("the rejected", 5, 5));
    run.puts(
        "the put of the rejected",
        run.one,
        &key,
        &rejected,
        Put::Stored,
    )
    .await?;
    run.rejects("the reject", run.other, &key, &rejected)
        .await?;
    for (step, older) in [
        ("the put of an older one", run.token("the older", 4, 4)),
        (
            "the put of one that was requested earlier and expires with it",
            run.token("requested earlier", 5, 4),
        ),
        (
            "the put of one that was requested with it and expires earlier",
            run.token("expires earlier", 4, 5),
        ),
    ] {
        run.puts(step, run.one, &key, &older, Put::Rejected).await?;
        run.loads("the load after it", run.other, &key, None)
            .await?;
    }
    Ok(())
}

async fn a_rejected_token_is_known_by_its_text(run: &Run<'_>) -> Checked {
    // Two mints in one second can bring the same text.
    let (key, rejected, again) = (
        run.key()?,
        run.token("a token", 0, 0),
        run.token("a token", 1, 1),
    );
    run.puts(
        "the put with later times",
        run.one,
        &key,
        &again,
        Put::Stored,
    )
    .await?;
    run.rejects("the reject with earlier times", run.other, &key, &rejected)
        .await?;
    run.loads("the load after it", run.one, &key, None).await?;
    run.puts(
        "the second put with later times",
        run.one,
        &key,
        &again,
        Put::Rejected,
    )
    .await?;
    run.loads("the load after that", run.one, &key, None).await
}

async fn what_is_later_than_a_rejected_token_is_stored(run: &Run<'_>) -> Checked {
    let rejected = run.token("the rejected", 5, 5);
    for (customer, step, later) in [
        (1, "the put of a newer one", run.token("the newer", 6, 6)),
        (
            2,
            "the put of one that was requested later and expires earlier",
            run.token("to live shorter", 4, 6),
        ),
        (
            3,
            "the put of one that was requested with it and expires later",
            run.token("to live longer", 6, 5),
        ),
    ] {
        let key = run.key_of("contract", customer)?;
        run.puts(
            "the put of the rejected",
            run.one,
            &key,
            &rejected,
            Put::Stored,
        )
        .await?;
        run.rejects("the reject", run.other, &key, &rejected)
            .await?;
        run.puts(step, run.one, &key, &later, Put::Stored).await?;
        run.loads("the load after it", run.other, &key, Some(&later))
            .await?;
    }
    Ok(())
}

async fn an_earlier_rejection_is_not_forgotten_for_a_later_one(run: &Run<'_>) -> Checked {
    let (key, older, newer, shorter) = (
        run.key()?,
        run.token("the older", 4, 4),
        run.token("the newer", 5, 5),
        run.token("to live shorter", 3, 6),
    );
    for (step, rejected) in [
        ("the reject of the newer", &newer),
        ("the reject of the older", &older),
        ("the reject of one that was requested later", &shorter),
    ] {
        run.puts(
            "the put ahead of the reject",
            run.one,
            &key,
            rejected,
            // The older one falls with the newer.
            if rejected == &older {
                Put::Rejected
            } else {
                Put::Stored
            },
        )
        .await?;
        run.rejects(step, run.other, &key, rejected).await?;
    }
    for (step, rejected) in [
        ("the put of the newer", &newer),
        ("the put of the older", &older),
        ("the put of the one that was requested later", &shorter),
    ] {
        run.puts(step, run.one, &key, rejected, Put::Rejected)
            .await?;
    }
    run.loads("the load after them", run.other, &key, None)
        .await
}

async fn a_rejection_concerns_one_key(run: &Run<'_>) -> Checked {
    let (keys, token) = (run.different_keys()?, run.token("a token", 0, 0));
    let Some((rejected, others)) = keys.split_first() else {
        return Ok(());
    };
    let (before, after) = others.split_at(others.len() / 2);
    for key in before {
        run.puts(
            "a put ahead of the reject",
            run.one,
            key,
            &token,
            Put::Stored,
        )
        .await?;
    }
    run.puts("a put of the key", run.one, rejected, &token, Put::Stored)
        .await?;
    run.rejects("the reject", run.one, rejected, &token).await?;
    for key in after {
        run.puts(
            "a put under another key after the reject",
            run.one,
            key,
            &token,
            Put::Stored,
        )
        .await?;
    }
    for key in others {
        run.loads("a load of another key", run.other, key, Some(&token))
            .await?;
    }
    Ok(())
}

async fn a_rejection_lasts_until_the_token_would_have_expired(run: &Run<'_>) -> Checked {
    let (key, short, long) = (
        run.key()?,
        run.short_lived("expires soon"),
        run.token("expires late", 0, 1),
    );
    run.puts("the put", run.one, &key, &long, Put::Stored)
        .await?;
    run.rejects("the reject of one that expires late", run.one, &key, &long)
        .await?;
    // The note of this one must not cut short the note of the other.
    run.rejects("the reject of one that expires soon", run.one, &key, &short)
        .await?;
    run.outlive_a_moment().await;
    run.puts(
        "the put after a while",
        run.other,
        &key,
        &long,
        Put::Rejected,
    )
    .await?;
    run.loads("the load after it", run.other, &key, None).await
}

async fn a_lease_is_held_by_one(run: &Run<'_>) -> Checked {
    let key = run.key()?;
    run.acquires("the first lease", run.one, &key, HOUR).await?;
    run.finds_it_held("the lease by the other process", run.other, &key)
        .await?;
    run.finds_it_held("the lease by the same process again", run.one, &key)
        .await
}

async fn leases_of_other_keys_are_free(run: &Run<'_>) -> Checked {
    let keys = run.different_keys()?;
    for key in &keys {
        run.acquires("the lease of a key of its own", run.one, key, HOUR)
            .await?;
    }
    for key in &keys {
        run.finds_it_held("the second lease of each", run.other, key)
            .await?;
    }
    Ok(())
}

async fn a_lease_runs_out_by_itself(run: &Run<'_>) -> Checked {
    let key = run.key()?;
    run.acquires("the first lease", run.one, &key, run.subject.moment())
        .await?;
    run.outlive_a_moment().await;
    run.acquires("the lease after its time", run.other, &key, HOUR)
        .await?;
    run.finds_it_held("the lease after that", run.one, &key)
        .await
}

async fn a_lease_that_is_given_back_is_free(run: &Run<'_>) -> Checked {
    let key = run.key()?;
    let owner = run.acquires("the first lease", run.one, &key, HOUR).await?;
    run.releases("its release", run.one, &key, owner).await?;
    run.acquires("the lease after the release", run.other, &key, HOUR)
        .await?;
    Ok(())
}

async fn a_lease_is_not_given_back_by_anybody_else(run: &Run<'_>) -> Checked {
    let key = run.key()?;
    let owner = run.acquires("the first lease", run.one, &key, HOUR).await?;
    let (high, low) = (owner.get() ^ (1 << 127), owner.get() ^ 1);
    for stranger in [
        LeaseOwner::random(),
        LeaseOwner::new(high),
        LeaseOwner::new(low),
    ] {
        for store in [run.other, run.one] {
            run.releases("the release by a stranger", store, &key, stranger)
                .await?;
            run.finds_it_held("the lease after it", store, &key).await?;
        }
    }
    Ok(())
}

async fn a_lease_that_ran_out_does_not_give_back_the_next_one(run: &Run<'_>) -> Checked {
    let key = run.key()?;
    let late = run
        .acquires("the first lease", run.one, &key, run.subject.moment())
        .await?;
    run.outlive_a_moment().await;
    let owner = run
        .acquires("the lease after its time", run.other, &key, HOUR)
        .await?;
    run.releases("the late release of the first", run.one, &key, late)
        .await?;
    run.finds_it_held("the lease after it", run.one, &key)
        .await?;
    run.releases("the release of the second", run.other, &key, owner)
        .await
}

async fn no_two_leases_have_the_same_owner(run: &Run<'_>) -> Checked {
    let mut owners = HashSet::new();
    for customer in 1..=16 {
        for (store_hash, store) in [("contract", run.one), ("another", run.other)] {
            let key = run.key_of(store_hash, customer)?;
            let owner = run.acquires("a lease", store, &key, HOUR).await?;
            run.holds(
                "the owners of 32 leases",
                "32 different ones",
                "the same one twice",
                owners.insert(owner),
            )?;
        }
    }
    Ok(())
}

async fn what_is_not_there_can_be_given_back(run: &Run<'_>) -> Checked {
    let key = run.key()?;
    run.releases(
        "the release of a lease that nobody has",
        run.one,
        &key,
        LeaseOwner::random(),
    )
    .await?;
    let owner = run.acquires("a lease", run.one, &key, HOUR).await?;
    for step in ["its release", "its second release"] {
        run.releases(step, run.one, &key, owner).await?;
    }
    Ok(())
}

async fn tokens_and_leases_do_not_touch_each_other(run: &Run<'_>) -> Checked {
    let (key, old, new) = (
        run.key()?,
        run.token("the old", 0, 0),
        run.token("the new", 1, 1),
    );
    let owner = run.acquires("the lease", run.one, &key, HOUR).await?;
    run.loads("a load during the lease", run.other, &key, None)
        .await?;
    run.puts("a put during the lease", run.one, &key, &old, Put::Stored)
        .await?;
    run.finds_it_held("the lease after a put", run.other, &key)
        .await?;
    run.rejects("a reject during the lease", run.other, &key, &old)
        .await?;
    run.finds_it_held("the lease after a reject", run.other, &key)
        .await?;
    // A rejection does not stand in the way of a lease, nor a lease in that of a put by somebody else.
    run.puts(
        "a put by a process that has no lease",
        run.other,
        &key,
        &new,
        Put::Stored,
    )
    .await?;
    run.releases("the release", run.one, &key, owner).await?;
    run.loads("the load after the release", run.other, &key, Some(&new))
        .await?;
    run.acquires("the lease while a token is there", run.other, &key, HOUR)
        .await?;
    run.loads("the load while there is a lease", run.one, &key, Some(&new))
        .await
}

async fn of_many_who_ask_at_once_one_gets_the_lease(run: &Run<'_>) -> Checked {
    const STEP: &str = "16 leases at once";
    let key = run.key()?;
    let asked = (0..8).flat_map(|_| [run.one, run.other].map(|store| store.lease(&key, HOUR)));
    let mut acquired = 0_u32;
    for lease in join_all(asked).await {
        if let Lease::Acquired(_) = run.answer(STEP, lease)? {
            acquired += 1;
        }
    }
    run.same(
        STEP,
        "1 that is Acquired".to_owned(),
        format!("{acquired} that is Acquired"),
    )
}

async fn of_many_that_are_put_at_once_the_newest_stays(run: &Run<'_>) -> Checked {
    const STEP: &str = "16 puts at once";
    let key = run.key()?;
    // In a mixed order, with the newest in the middle.
    let tokens: Vec<_> = (0..16)
        .map(|n| (n * 7 + 7) % 16)
        .map(|age| run.token(&format!("token {age}"), age, age))
        .collect();
    let newest = run.token("token 15", 15, 15);
    let put = tokens
        .iter()
        .zip([run.one, run.other].into_iter().cycle())
        .map(|(token, store)| store.put_if_newer(&key, token, CustomerEpoch::default()));
    for (put, token) in join_all(put).await.into_iter().zip(&tokens) {
        match run.answer(STEP, put)? {
            Put::Stored => {}
            Put::NewerIsThere if *token != newest => {}
            put @ (Put::NewerIsThere | Put::Rejected | Put::Forgotten) => {
                return Err(run.violation(
                    STEP,
                    "Stored or, of an older one, NewerIsThere",
                    format!("{put:?}"),
                ));
            }
        }
    }
    for store in [run.one, run.other] {
        run.loads("the load after 16 puts at once", store, &key, Some(&newest))
            .await?;
    }
    Ok(())
}

async fn a_token_that_is_put_and_rejected_at_once_does_not_stay(run: &Run<'_>) -> Checked {
    let token = run.token("a token", 0, 0);
    for customer in 1..=8 {
        let key = run.key_of("contract", customer)?;
        let put = async {
            let put = run
                .one
                .put_if_newer(&key, &token, CustomerEpoch::default())
                .await;
            run.answer("a put", put).map(drop)
        };
        let reject = run.rejects("a reject", run.other, &key, &token);
        // Both ways around: whichever is done first, the token is gone when both are done.
        let both: [PassChecked<'_>; 2] = if customer % 2 == 0 {
            [Box::pin(put), Box::pin(reject)]
        } else {
            [Box::pin(reject), Box::pin(put)]
        };
        for done in join_all(both).await {
            done?;
        }
        run.loads("the load after both", run.one, &key, None)
            .await?;
    }
    Ok(())
}

type PassChecked<'a> = Pin<Box<dyn Future<Output = Checked> + Send + 'a>>;

async fn a_fingerprint_is_the_same_in_each_process(run: &Run<'_>) -> Checked {
    for token in ["", "a", "a customer access token", "t\u{f6}ken"] {
        let token = Secret::from(token);
        let fingerprint = run.one.fingerprint(&token);
        for (step, store) in [
            ("the fingerprint once more", run.one),
            ("the fingerprint in the other process", run.other),
        ] {
            run.same(step, fingerprint, store.fingerprint(&token))?;
        }
    }
    Ok(())
}

async fn fingerprints_of_different_tokens_differ(run: &Run<'_>) -> Checked {
    let mut tokens = vec![
        String::new(),
        "a".to_owned(),
        "A".to_owned(),
        "a ".to_owned(),
    ];
    // Different at the start, at the end, in length, and in order.
    for n in 0..64 {
        tokens.push(format!(
            "{n:02} is how it starts, and then come the same bytes"
        ));
        tokens.push(format!(
            "the same bytes come first, and it ends with {n:02}"
        ));
        tokens.push("x".repeat(n + 2));
    }
    tokens.push("the same letters".to_owned());
    tokens.push("same the letters".to_owned());
    let mut fingerprints = HashSet::new();
    for token in tokens {
        run.holds(
            "the fingerprints of different tokens",
            "different ones",
            "the same one twice",
            fingerprints.insert(run.one.fingerprint(&Secret::from(token))),
        )?;
    }
    Ok(())
}

async fn a_fingerprint_is_neither_the_token_nor_a_hash_without_a_key(run: &Run<'_>) -> Checked {
    for token in [
        "8 bytes!",
        "12345678",
        "01234567",
        "a customer access token",
    ] {
        let mut guesses = Vec::new();
        if let Ok(bytes) = <[u8; 8]>::try_from(token.as_bytes()) {
            guesses.extend([u64::from_be_bytes(bytes), u64::from_le_bytes(bytes)]);
        }
        guesses.extend(token.parse::<u64>());
        guesses.extend(u64::from_str_radix(token, 16));
        // What is found without any secret: std's hash, with its keys of zero, of the text and of its bytes.
        for with_end in [false, true] {
            let mut hasher = DefaultHasher::new();
            if with_end {
                token.hash(&mut hasher);
            } else {
                hasher.write(token.as_bytes());
            }
            guesses.push(hasher.finish());
        }
        let fingerprint = run.one.fingerprint(&Secret::from(token)).get();
        run.holds(
            "a fingerprint",
            "one that takes a secret to find",
            "the bytes of the token, its number, or its hash without a key",
            !guesses.contains(&fingerprint),
        )?;
    }
    Ok(())
}

/// Keys of one customer that differ in everything else, and one of another customer and of another store each.
fn keys_of_a_customer(run: &Run<'_>) -> Result<(Vec<StoreKey>, [StoreKey; 2]), Violation> {
    let (key, cat) = (run.key()?, Fingerprint::new(1));
    let channel = run.channel(1)?;
    let own = vec![
        key.clone(),
        key.clone().in_channel(channel),
        key.clone().with_customer_access_token(cat),
        key.in_channel(channel).with_customer_access_token(cat),
    ];
    let others = [run.key_of("contract", 43)?, run.key_of("another", 42)?];
    Ok((own, others))
}

async fn a_forgotten_customer_has_no_token_left(run: &Run<'_>) -> Checked {
    let (own, others) = keys_of_a_customer(run)?;
    let token = run.token("a token", 0, 0);
    for key in own.iter().chain(&others) {
        run.puts("a put", run.one, key, &token, Put::Stored).await?;
    }
    run.forgets("a forget", run.other, &run.key()?).await?;
    for key in &own {
        run.loads("a load after the forget", run.one, key, None)
            .await?;
    }
    for key in &others {
        run.loads("a load of another customer", run.one, key, Some(&token))
            .await?;
    }
    Ok(())
}

async fn what_was_requested_before_a_customer_was_forgotten_is_not_stored(
    run: &Run<'_>,
) -> Checked {
    let (own, _) = keys_of_a_customer(run)?;
    let token = run.token("a token", 10, 10);
    for (round, forgotten) in own.iter().enumerate() {
        for key in &own {
            let epoch = run.epoch("an epoch before", run.one, key).await?;
            if round > 0 && epoch == CustomerEpoch::default() {
                return Err(run.violation("an epoch before", "that of an earlier forget", "none"));
            }
            run.forgets("a forget", run.other, forgotten).await?;
            run.puts_of(epoch, "a put", run.one, key, &token, Put::Forgotten)
                .await?;
            run.loads("a load after the put", run.other, key, None)
                .await?;
        }
    }
    Ok(())
}

async fn what_is_requested_after_a_customer_was_forgotten_is_stored(run: &Run<'_>) -> Checked {
    let (own, _) = keys_of_a_customer(run)?;
    run.forgets("a forget", run.one, &run.key()?).await?;
    for key in &own {
        let epoch = run.epoch("an epoch after", run.other, key).await?;
        let token = run.token("a token", 0, 0);
        run.puts_of(epoch, "a put", run.other, key, &token, Put::Stored)
            .await?;
        run.loads("a load after the put", run.one, key, Some(&token))
            .await?;
    }
    Ok(())
}

async fn a_customer_can_be_forgotten_again(run: &Run<'_>) -> Checked {
    let key = run.key()?;
    let mut seen = vec![run.epoch("the first epoch", run.one, &key).await?];
    for store in [run.one, run.other, run.one] {
        run.forgets("a forget", store, &key).await?;
        let epoch = run.epoch("an epoch after", run.other, &key).await?;
        run.same("an epoch of the other process", epoch, {
            run.epoch("an epoch after", run.one, &key).await?
        })?;
        if seen.contains(&epoch) {
            return Err(run.violation("an epoch after", "another one", "one from before"));
        }
        seen.push(epoch);
    }
    Ok(())
}

async fn to_forget_a_customer_concerns_no_other(run: &Run<'_>) -> Checked {
    let (_, others) = keys_of_a_customer(run)?;
    run.forgets("a forget", run.one, &run.key()?).await?;
    for key in &others {
        let token = run.token("a token", 0, 0);
        let epoch = run
            .epoch("an epoch of another customer", run.one, key)
            .await?;
        run.same(
            "an epoch of another customer",
            CustomerEpoch::default(),
            epoch,
        )?;
        run.puts(
            "a put of another customer",
            run.one,
            key,
            &token,
            Put::Stored,
        )
        .await?;
    }
    Ok(())
}

async fn to_forget_a_customer_leaves_rejections_and_leases(run: &Run<'_>) -> Checked {
    let (key, token) = (run.key()?, run.token("a token", 0, 0));
    run.rejects("a reject", run.one, &key, &token).await?;
    let owner = run.acquires("a lease", run.one, &key, HOUR).await?;
    run.forgets("a forget", run.one, &key).await?;
    let lease = run.answer("a lease after", run.other.lease(&key, HOUR).await)?;
    run.same("a lease after the forget", Lease::Held, lease)?;
    run.answer("a release", run.one.release(&key, owner).await)?;
    let epoch = run.epoch("an epoch after", run.one, &key).await?;
    run.puts_of(
        epoch,
        "a put of a rejected token",
        run.one,
        &key,
        &token,
        Put::Rejected,
    )
    .await
}
