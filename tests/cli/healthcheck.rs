//! `coatcheck healthcheck`: the check behind a container's health.

use std::net::TcpListener;
use std::process::Output;
use std::sync::Arc;

use rstest_reuse::apply;
use tempfile::TempDir;
use test_kit::{eventually, servers};

use crate::kit::program::{coatcheck, output};
use crate::kit::proxy::Proxy;
use crate::kit::stack::{Running, Setup, Stack, both_stacks};

#[apply(both_stacks)]
async fn an_api_is_healthy_wherever_it_listens(setup: Setup) {
    let stack = setup.start(&[]).await;
    let (address, url) = (stack.address(), stack.url(""));
    for setting in [("LISTEN", &*address), ("COATCHECK_URL", &url)] {
        let done = healthcheck(&stack, &[setting]).await;

        assert_eq!((done.status.code(), told(&done)), (Some(0), ""), "{setting:?}");
    }
}

#[apply(both_stacks)]
async fn who_is_gone_is_unhealthy(setup: Setup) {
    let stack = setup.start(&[]).await;
    let address = stack.address();
    stack.kill();

    for setting in [("LISTEN", &*address), ("METRICS_LISTEN", &address)] {
        is_unhealthy(&healthcheck(&stack, &[setting]).await, "no answer from http://127.");
    }
}

#[tokio::test]
async fn health_goes_with_the_database_and_comes_back() {
    let (database, vhost) = (servers().database(), servers().vhost());
    let (cable, broker) = (Proxy::to(&database).await, Proxy::to(&vhost).await);
    let settings = [("DATABASE_URL", &*cable.url(&database)), ("AMQP_URL", &broker.url(&vhost))];
    let stack = Running::of(Stack::distributed(&settings)).await;
    let api = stack.address();
    let metrics = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let worker = [("METRICS_LISTEN", &*metrics), ("LEASE_SECONDS", "2")];
    let _worker = stack.extra(&["worker"], &worker);
    becomes(&stack, &worker, true).await;

    // Both do without it.
    broker.pull_out();
    stack.until(&stack.put("without a broker").await, "succeeded").await;
    becomes(&stack, &worker, true).await;
    becomes(&stack, &[("LISTEN", &api)], true).await;

    cable.pull_out();
    is_unhealthy(&becomes(&stack, &worker, false).await, "database");
    is_unhealthy(&becomes(&stack, &[("LISTEN", &api)], false).await, "database");

    cable.put_in();
    becomes(&stack, &worker, true).await;
    becomes(&stack, &[("LISTEN", &api)], true).await;
}

#[tokio::test]
async fn a_wrong_setting_is_no_sickness() {
    let folder = TempDir::new().unwrap();
    for (name, value) in [
        ("LISTEN", "nonsense"),
        ("METRICS_LISTEN", "nonsense"),
        ("COATCHECK_URL", "ftp://a/"),
        ("LEASE_SECONDS", "0"),
    ] {
        let mut command = coatcheck(folder.path(), ["healthcheck"]);
        command.env(name, value);

        let done = output(command).await;

        assert_eq!(done.status.code(), Some(2), "{name}");
        assert!(told(&done).lines().count() == 1 && told(&done).contains(name), "{}", told(&done));
    }
}

async fn healthcheck(stack: &Stack, settings: &[(&str, &str)]) -> Output {
    let mut command = coatcheck(stack.folder(), ["healthcheck"]);
    command.envs(settings.iter().copied());
    output(command).await
}

/// Waits until the health is as expected; returns the output then.
async fn becomes(stack: &Arc<Stack>, settings: &[(&str, &str)], healthy: bool) -> Output {
    eventually("another health", async || {
        let done = healthcheck(stack, settings).await;
        if done.status.success() == healthy { Ok(done) } else { Err(told(&done).to_owned()) }
    })
    .await
}

#[track_caller]
fn is_unhealthy(done: &Output, why: &str) {
    assert_eq!((done.status.code(), done.stdout.len()), (Some(1), 0));
    assert!(told(done).lines().count() == 1 && told(done).contains(why), "{}", told(done));
}

fn told(done: &Output) -> &str {
    std::str::from_utf8(&done.stderr).unwrap()
}
