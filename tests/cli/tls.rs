//! TLS: the client commands and workers speak it, and say what to do where it does not come about.

use std::fs;
use std::process::{Command, Output};

use rstest_reuse::apply;
use serde_json::json;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use crate::kit::client::accepted;
use crate::kit::content::{md5sum, noise};
use crate::kit::program::{coatcheck, output};
use crate::kit::scripted::{self, Scripted};
use crate::kit::stack::{Running, Setup, Stack, embedded};
use crate::kit::tls::{Front, certificate};

#[apply(embedded)]
async fn the_client_commands_speak_tls(setup: Setup) {
    let stack = setup.start(&[]).await;
    let front = Front::before(&stack.address(), "server").await;
    let command = |arguments: &[&str]| {
        let mut command = stack.coatcheck(arguments);
        command.env("COATCHECK_URL", front.url("https")).env("SSL_CERT_FILE", certificate("authority.pem"));
        command
    };
    let content = noise(1, 3 << 20);
    fs::write(stack.folder().join("large"), &content).unwrap();

    let put = output(command(&["put", "large"])).await;
    let said = String::from_utf8_lossy(&put.stderr).into_owned();
    assert_eq!((put.status.code(), &*said), (Some(0), ""));
    assert_eq!(String::from_utf8(put.stdout).unwrap(), format!("{}  large\n", md5sum(&content)));

    let id = stack.tasks("limit=1").await[0]["id"].as_str().unwrap().to_owned();
    for arguments in
        [&["get", &*id][..], &["healthcheck"], &["simulate", "--count", "3", "--requests-delay", "0"]]
    {
        let done = output(command(arguments)).await;
        assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    }
}

#[tokio::test]
async fn a_server_that_is_not_trusted_is_told_with_what_to_do() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("file"), "abc").unwrap();
    // No server is behind them.
    let [front, elsewhere] =
        [Front::before("127.0.0.1:9", "server").await, Front::before("127.0.0.1:9", "elsewhere").await];
    // It receives something other than HTTP.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let plain = format!("https://{}", listener.local_addr().unwrap());
    let _serves = AbortOnDropHandle::new(tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let _ = client.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n").await;
            // It is read to its end, so that the answer arrives.
            let _ = tokio::io::copy(&mut client, &mut tokio::io::sink()).await;
        }
    }));
    for (url, authority, words) in [
        (
            front.url("https"),
            "stranger.pem",
            &["signed by an authority that this machine does not know", "SSL_CERT_FILE"][..],
        ),
        (elsewhere.url("https"), "authority.pem", &["for another host name"]),
        (plain, "authority.pem", &["http://"]),
    ] {
        for arguments in [&["put", "file"][..], &["get", "0198c5a1-7b3e-7c40-9d55-2f0e8a1b6c3d"]] {
            let mut command = coatcheck(folder.path(), arguments);
            command.env("COATCHECK_URL", &url).env("SSL_CERT_FILE", certificate(authority));

            tells(command, 3, words).await;
        }
    }
    for missing in ["missing.pem", "file"] {
        let mut command = coatcheck(folder.path(), ["put", "file"]);
        command.env("COATCHECK_URL", front.url("https")).env("SSL_CERT_FILE", missing);
        tells(command, 2, &["SSL_CERT_FILE", missing]).await;
    }
}

#[tokio::test]
async fn rows_are_sent_over_tls_and_to_no_stranger() {
    let third_party = Scripted::start(|_| scripted::done()).await;
    let server = third_party.url.trim_start_matches("http://");
    let front = Front::before(server, "server").await;
    let [url, authority] = [front.url("https"), certificate("authority.pem").display().to_string()];
    let settings = [("THIRD_PARTY_URL", &*url), ("SSL_CERT_FILE", &*authority)];
    let stack = Running::of(Stack::embedded(&settings)).await;
    let id = accepted(&stack.hand_in("userId,title,body\n1,a,b\n").await);

    stack.until(&id, "succeeded").await;
    assert_eq!(third_party.calls()[0].body, json!({"userId": 1, "title": "a", "body": "b"}));
}

/// The command ends with that status, and says so in one line.
async fn tells(command: Command, status: i32, words: &[&str]) {
    let Output { status: ended, stdout, stderr } = output(command).await;

    let told = String::from_utf8(stderr).unwrap();
    assert_eq!((ended.code(), stdout.len()), (Some(status), 0), "{told}");
    assert!(told.starts_with("coatcheck: ") && told.lines().count() == 1, "{told}");
    assert!(words.iter().all(|word| told.contains(word)), "{words:?}: {told}");
}
