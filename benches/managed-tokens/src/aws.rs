//! The identity cache that the AWS SDKs have unless told otherwise, with an identity that is a bearer token.

use std::time::{Duration, SystemTime};

use aws_smithy_async::{rt::sleep::TokioSleep, time::SystemTimeSource};
use aws_smithy_runtime::client::identity::IdentityCache;
use aws_smithy_runtime_api::client::{
    identity::{
        Identity, IdentityFuture, ResolveCachedIdentity as _, ResolveIdentity, SharedIdentityCache,
        SharedIdentityResolver, http::Token,
    },
    runtime_components::{RuntimeComponents, RuntimeComponentsBuilder},
};
use aws_smithy_types::config_bag::ConfigBag;
use tokio::runtime::Runtime;

use crate::{
    Contender, Result,
    contender::{Miss, in_hand, in_turn, runtime},
    jwt,
};

pub(crate) struct Aws {
    cache: SharedIdentityCache,
    resolver: SharedIdentityResolver,
    components: RuntimeComponents,
    config: ConfigBag,
}

impl Aws {
    pub(crate) fn new() -> Result<Self> {
        let expiry = SystemTime::now() + Duration::from_secs(jwt::LIFETIME_SECONDS);
        let token = Token::new(jwt::token(1)?, Some(expiry));
        let aws = Self {
            cache: IdentityCache::lazy().build(),
            resolver: SharedIdentityResolver::new(Known(Identity::new(token, Some(expiry)))),
            components: RuntimeComponentsBuilder::for_tests()
                .with_sleep_impl(Some(TokioSleep::new()))
                .with_time_source(Some(SystemTimeSource::new()))
                .build()?,
            config: ConfigBag::base(),
        };
        aws.hits(&runtime()?, &[1])?;
        Ok(aws)
    }
}

impl Contender for Aws {
    fn hits(&self, runtime: &Runtime, customers: &[u32]) -> Result<()> {
        in_turn(runtime, customers, async |_| {
            // The orchestrator of an AWS client asks like this, and clones the resolver as well.
            let resolver = self.resolver.clone();
            let identity = self
                .cache
                .resolve_cached_identity(resolver, &self.components, &self.config)
                .await?;
            in_hand(identity.data::<Token>().ok_or(Miss)?.token());
            Ok(())
        })
    }
}

/// A resolver that has its answer.
#[derive(Debug)]
struct Known(Identity);

impl ResolveIdentity for Known {
    fn resolve_identity<'a>(
        &'a self,
        _: &'a RuntimeComponents,
        _: &'a ConfigBag,
    ) -> IdentityFuture<'a> {
        IdentityFuture::ready(Ok(self.0.clone()))
    }
}
