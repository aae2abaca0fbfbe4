//! The page and Swagger UI, in a browser: what a person sees, hears and takes home.

use std::fs;
use std::process::Command;
use std::sync::Arc;

use reqwest::Method;
use rstest_reuse::apply;
use serde_json::{Value, json};

use crate::kit::chromium::Browser;
use crate::kit::client::ask;
use crate::kit::content::{md5sum, noise};
use crate::kit::people::as_bearer;
use crate::kit::program::output;
use crate::kit::stack::{Setup, Stack, both_stacks, embedded};

/// Nothing of the page waits any more, and so many tickets have digests.
fn done(count: usize) -> String {
    format!("document.querySelectorAll('#list > [data-state=done]').length === {count}")
}

#[apply(both_stacks)]
async fn files_that_are_handed_in_together_get_tickets_and_their_digests(setup: Setup) {
    let stack = setup.start(&[]).await;
    let browser = Browser::open(&stack, "/").await;
    let noise = noise(5, 300_000);

    browser.choose("#files", &[("a.txt", b"abc"), ("empty", b""), ("noise.bin", &noise)]).await;

    browser.until(&done(3)).await;
    assert_eq!(browser.texts("#list h3").await, ["a.txt", "empty", "noise.bin"]);
    let digests = [b"abc", &b""[..], &noise].map(md5sum);
    assert_eq!(browser.texts("#list .digest code").await, digests);
    for (id, digest) in browser.texts("#list .id code").await.iter().zip(&digests) {
        assert_eq!(stack.task(id).await["result"]["md5"], **digest);
    }
    assert_eq!(browser.text("#overall-words").await, "3 of 3 done · 300 kB sent");
    browser.close().await;
}

#[apply(embedded)]
async fn many_files_take_a_request_each_and_are_followed_and_shown_together(setup: Setup) {
    let stack = setup.start(&[]).await;
    let browser = Browser::open(&stack, "/").await;
    let names: Vec<String> = (0..310).map(|number| format!("n{number:03}")).collect();
    let files: Vec<(&str, &[u8])> = names.iter().map(|name| (&**name, name.as_bytes())).collect();
    browser.asked().await;

    browser.choose("#files", &files).await;

    browser.until("document.querySelector('#overall-words').textContent.startsWith('310 of 310 done')").await;
    let asked = browser.asked().await;
    let handed_in = asked.iter().filter(|(method, _)| method == "POST").count();
    let alone = asked.iter().filter(|(_, url)| url.contains("/api/v1/tasks/")).count();
    assert_eq!(handed_in, 310);
    assert!(alone < 60, "{alone} requests for a ticket of its own: {asked:?}");

    assert_eq!(browser.texts("#list h3").await, [""; 0]);
    assert_eq!(browser.texts("#dense tbody bdi").await, names[..100]);
    assert_eq!(browser.text("#more").await, "Show more (210 are not shown)");
    browser.click("#more").await;
    assert_eq!(browser.texts("#dense tbody bdi").await, names[..300]);

    // No digest has an n.
    browser.fill("#search", "n07").await;
    browser.until(&says("#found-words", "10 of 310 tickets")).await;
    browser.assert_accessible("with some of many tickets").await;
    browser.click("[data-by=md5]").await;
    browser.until("document.querySelector('#dense [aria-sort]').ariaSort === 'ascending'").await;
    let digests = browser.texts("#dense tbody .digest code").await;
    assert!(digests.len() == 10 && digests.is_sorted(), "{digests:?}");
    browser.click("[data-by=name]").await;
    browser.click("[data-by=name]").await;
    browser.until("document.querySelector('#dense [aria-sort]').ariaSort === 'descending'").await;
    assert_eq!(browser.texts("#dense tbody bdi").await[..2], ["n079", "n078"]);
    browser.fill("#search", &md5sum(b"n123")).await;
    browser.until(&says("#dense tbody bdi", "n123")).await;

    browser.click("#save").await;
    assert_eq!(browser.download("MD5SUMS").await.lines().count(), 310);
    browser.close().await;
}

#[apply(embedded)]
async fn speed_and_time_left_are_told_while_files_are_sent(setup: Setup) {
    let stack = setup.start(&[]).await;
    let browser = Browser::open(&stack, "/").await;
    let slow = json!({"offline": false, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 400_000});
    browser.cdp("Network.enable", json!({})).await;
    browser.cdp("Network.emulateNetworkConditions", slow).await;

    browser.choose("#files", &[("large", &noise(3, 2_000_000)), ("small", b"")]).await;

    let told = r"/ · [0-9.]+ [kM]B\/s · (.* · )?about [0-9]+ s left$/";
    browser.until(&format!("{told}.test(document.querySelector('#overall-words').textContent)")).await;
    browser.click("#cancel-all").await;
    browser.agree().await;
    browser.until(&says("#list .state", "Cancelled")).await;
    browser.close().await;
}

#[apply(embedded)]
async fn a_list_that_is_nearly_full_says_so_before_tickets_are_lost(setup: Setup) {
    let stack = setup.start(&[]).await;
    let id = stack.put("abc").await;
    stack.until(&id, "succeeded").await;
    let browser = Browser::open(&stack, "/").await;
    let kept = |count: usize| {
        // Ids in the order of time, none of which the server is asked for.
        format!(
            "localStorage.setItem('coatcheck-tickets', JSON.stringify(Array.from({{length: {count}}}, (_, n) => ({{
                id: `0198c5a1-7b3e-7c40-9d55-${{String(n).padStart(12, '0')}}`, name: `${{n}}`, status: 'succeeded'}}))))"
        )
    };
    // The page that is left keeps what it has.
    browser.go("/docs").await;
    browser.value(&kept(4200)).await;
    browser.go("/").await;
    browser.until(&seen("#kept")).await;
    assert!(browser.text("#kept").await.starts_with("4,200 of at most 5,000 tickets are kept."));

    browser.go("/docs").await;
    browser.value(&kept(4999)).await;
    browser.go("/").await;
    browser.choose("#files", &[("a", b"a"), ("b", b"b"), ("c", b"c")]).await;
    let words = "This browser keeps the newest 5,000 tickets. 2 of these will be gone from the list when you leave the page.";
    browser.until(&says("#kept", words)).await;
    browser.close().await;
}

#[apply(embedded)]
async fn a_digest_is_compared_with_the_one_that_is_expected(setup: Setup) {
    let stack = setup.start(&[]).await;
    let browser = with_files(&stack, &[("a.txt", b"abc")]).await;
    let digest = md5sum(b"abc");
    browser.click(".compare summary").await;

    for right in [digest.clone(), format!("  {} ", digest.to_uppercase()), format!("{digest}  a.txt")] {
        browser.fill(".expected", &right).await;
        assert_eq!(browser.text(".verdict").await, "✓ It matches the expected digest.");
    }
    let wrong = md5sum(b"abd");
    browser.fill(".expected", &wrong).await;
    browser.until(&says(".verdict", &format!("✗ It differs from the expected digest, {wrong}."))).await;
    // It is red all over, and not done.
    browser.until(&says("#list .state", "Done, but it differs")).await;
    let red = "(() => {
        const probe = document.body.appendChild(document.createElement('i'));
        probe.style.color = 'var(--bad)';
        const bad = getComputedStyle(probe).color;
        probe.remove();
        const card = document.querySelector('#list > li');
        const colours = ['.state', '.verdict', '.digest code'].map(one => getComputedStyle(card.querySelector(one)).color);
        const border = getComputedStyle(card);
        return [...colours, border.borderLeftColor, border.borderTopColor].every(colour => colour === bad)
            && card.dataset.state !== 'done' && border.backgroundColor !== getComputedStyle(document.querySelector('.drop')).backgroundColor;
    })()";
    browser.until(red).await;
    browser.fill(".expected", "abc").await;
    assert!(browser.text(".compare .error").await.starts_with("Expected an MD5 digest: "));
    browser.until(&says(".verdict", "")).await;
    browser.close().await;
}

#[apply(embedded)]
async fn tickets_are_compared_with_a_list_of_md5sum(setup: Setup) {
    let stack = setup.start(&[]).await;
    let browser = with_files(&stack, &[("a.txt", b"abc"), ("b.txt", b"b"), (r"back\slash", b"c")]).await;
    let lines = [
        format!("{}  ./a.txt", md5sum(b"abc")),
        format!("{} *sub/b.txt", md5sum(b"other")),
        format!(r"\{}  back\\slash", md5sum(b"c")),
        format!("{}  elsewhere", md5sum(b"abc")),
        "nonsense".to_owned(),
    ];

    browser.click("#list-compare summary").await;
    browser.choose("#list-file", &[("MD5SUMS", lines.join("\n").as_bytes())]).await;

    let result = "2 tickets match · 1 differs · 1 of the list without a ticket · 1 line is not of md5sum";
    browser.until(&says("#list-result", result)).await;
    browser
        .until(
            "document.querySelector('#overall-words').textContent.startsWith('3 of 3 done · 1 differs · ')",
        )
        .await;
    browser.until("document.querySelectorAll('[data-matches=true]').length === 2").await;
    browser.until("document.querySelectorAll('[data-matches=false]').length === 1").await;
    browser.close().await;
}

#[apply(embedded)]
async fn what_was_handed_in_elsewhere_is_found_by_its_id_and_stays_apart(setup: Setup) {
    let stack = setup.start(&[]).await;
    let id = stack.put("theirs").await;
    stack.until(&id, "succeeded").await;
    let browser = with_files(&stack, &[("a.txt", b"abc")]).await;

    browser.fill("#id", &format!(" {} ", id.to_uppercase())).await;
    browser.click("#lookup button").await;

    browser.until(&found(1)).await;
    assert_eq!(browser.value("location.search").await, format!("?id={id}"));
    assert_eq!(browser.texts("#found .id code").await, [&*id]);
    assert_eq!(browser.texts("#found .digest code").await, [md5sum(b"theirs")]);
    // It is another's, as far as the page knows.
    assert_eq!(browser.texts("#list h3").await, ["a.txt"]);
    browser.click("#save").await;
    assert_eq!(browser.download("MD5SUMS").await, format!("{}  a.txt\n", md5sum(b"abc")));
    browser.assert_accessible("with what was looked up").await;

    // The address leads there again, and the list has not grown.
    browser.reload().await;
    browser.until(&found(1)).await;
    assert_eq!(browser.texts("#list h3").await, ["a.txt"]);
    browser.click("#close-found").await;
    browser.until("!document.querySelector('#found').checkVisibility()").await;
    assert_eq!(browser.value("location.search").await, "");
    // A ticket of the list has an address too.
    let mine = browser.text("#list .id code").await;
    browser.click("#list .id a").await;
    browser.until(&says("#found .id code", &mine)).await;
    assert_eq!(browser.value("location.search").await, format!("?id={mine}"));
    browser.value("history.back()").await;
    browser.until("!document.querySelector('#found').checkVisibility()").await;
    browser.close().await;
}

#[apply(embedded)]
async fn tickets_of_every_kind_lead_to_their_pages(setup: Setup) {
    let stack =
        setup.start(&[("FREE_URL", "http://127.0.0.1:9"), ("THIRD_PARTY_URL", "http://127.0.0.1:9")]).await;
    stack.register("ada").await;
    let token = stack.log_in("ada").await;
    let message = json!({"text": "How far is the moon?", "provider": "free"}).to_string();
    let message = as_bearer(stack.request(Method::POST, "/api/v1/messages"), &token).body(message);
    let message = ask(message).await.unwrap().json();
    let table = stack.hand_in("userId,title,body\n1,a,b\n").await.json();
    let browser = Browser::open(&stack, "/").await;

    for (task, page, shown) in
        [(&message, "/messages", "How far is the moon?"), (&table, "/tables", "posts.csv")]
    {
        let id = task["id"].as_str().unwrap();
        browser.go("/").await;
        browser.fill("#id", id).await;
        browser.click("#lookup button").await;
        browser.until(&format!("location.pathname + location.search === '{page}?id={id}'")).await;
        browser.until(&says("#found h3", shown)).await;
        assert_eq!(browser.texts("#list h3").await, [""; 0]);
        // The page says in words what it waits for.
        browser.until(&says("#found .state", "Waiting")).await;
        let words = r"/ can't be reached\. Next try at .+\.$/";
        browser.until(&format!("{words}.test(document.querySelector('#found .note')?.textContent)")).await;
        for other in ["/", "/messages", "/tables"] {
            browser.go(&format!("{other}?id={id}")).await;
            browser.until(&format!("location.pathname === '{page}'")).await;
            browser.until(&says("#found h3", shown)).await;
        }
    }
    browser.close().await;
}

#[apply(both_stacks)]
async fn what_was_handed_in_elsewhere_is_found_by_its_digest(setup: Setup) {
    let stack = setup.start(&[]).await;
    let ids = [stack.put("abc").await, stack.put("abc").await];
    for id in &ids {
        stack.until(id, "succeeded").await;
    }
    let browser = Browser::open(&stack, "/").await;

    browser.fill("#id", &md5sum(b"abd")).await;
    browser.click("#lookup button").await;
    browser.until(&says("#lookup-error", "No file with this digest has been handed in.")).await;
    browser.fill("#id", &md5sum(b"abc").to_uppercase()).await;
    browser.click("#lookup button").await;

    browser.until(&found(2)).await;
    let [first, second] = ids;
    assert_eq!(browser.texts("#found .id code").await, [second, first]);
    browser.close().await;
}

#[apply(embedded)]
async fn names_that_deceive_the_eye_are_shown_as_they_are(setup: Setup) {
    let stack = setup.start(&[]).await;
    let browser = Browser::open(&stack, "/").await;
    let name = "invoice\u{202e}fdp.exe";
    browser.choose("#files", &[(name, b"abc"), ("zero\u{200b}width", b"b")]).await;
    browser.until(&done(2)).await;
    assert_eq!(browser.texts("#list h3 bdi").await, [r"invoice\u202Efdp.exe", r"zero\u200Bwidth"]);
    let hidden = r"/[\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069]/";
    // Neither in what is read out, nor in what is pointed at.
    let all = "[document.body.innerText, ...Array.from(document.querySelectorAll('[title], [aria-label]'), one => one.title + one.ariaLabel)].join()";
    assert_eq!(browser.value(&format!("{hidden}.test({all})")).await, false);

    stack.add_record("192.0.2.1 GET /a\u{200b}b 200").await;
    browser.go("/records").await;
    browser.until(&says("#records .uri", r"/a\u200Bb")).await;
    browser.until(&says("#uris th", r"/a\u200Bb")).await;
    assert_eq!(browser.value(&format!("{hidden}.test({all})")).await, false);
    browser.close().await;
}

#[apply(embedded)]
async fn what_is_wrong_is_said_in_words(setup: Setup) {
    let stack = setup.start(&[("MAX_UPLOAD", "10")]).await;
    let browser = Browser::open(&stack, "/").await;

    browser.choose("#files", &[("too-large", &[0; 11])]).await;
    assert!(
        browser.text("#list p.error").await.contains("10 bytes"),
        "{:?}",
        browser.texts("#list p.error").await
    );
    browser.until("document.querySelector('#list > [data-state=failed] .retry').hidden").await;

    browser.fill("#id", "nonsense").await;
    browser.click("#lookup button").await;
    browser
        .until("document.querySelector('#lookup-error').textContent.startsWith('Expected an id, such as')")
        .await;

    let unknown = "0198c5a1-7b3e-7c40-9d55-2f0e8a1b6c3d";
    let answer = stack.get(&format!("/api/v1/md5/{unknown}")).await.problem(404, "task-not-found");
    let words = answer["detail"].as_str().or(answer["title"].as_str()).unwrap();
    browser.fill("#id", unknown).await;
    browser.click("#lookup button").await;
    browser.until(&says("#lookup-error", words)).await;
    browser.close().await;
}

#[apply(embedded)]
async fn tickets_are_still_there_after_a_reload_until_they_are_cleared(setup: Setup) {
    let stack = setup.start(&[("WORKERS", "1")]).await;
    let browser = with_files(&stack, &[("a.txt", b"abc")]).await;
    let held = stack.hold_worker().await;
    browser.choose("#files", &[("b.txt", b"b")]).await;
    browser.until("document.querySelectorAll('#list .id:not([hidden])').length === 2").await;
    let before = browser.texts("#list code").await;

    browser.reload().await;

    browser.until("document.querySelectorAll('#list .id:not([hidden])').length === 2").await;
    assert_eq!(browser.texts("#list h3").await, ["b.txt", "a.txt"]);
    assert_eq!(browser.texts("#list code").await, before);
    // Tasks that had not ended are followed again, and stay when the list is cleared.
    browser.click("#clear").await;
    browser.until("document.querySelectorAll('#list > li').length === 1").await;
    // Cleared entries come back, for this visit and the next ones.
    browser.click(".undo button").await;
    browser.until("document.querySelectorAll('#list > li').length === 2").await;
    browser.reload().await;
    browser.until("document.querySelectorAll('#list > li').length === 2").await;
    assert_eq!(browser.texts("#list code").await, before);
    browser.click("#clear").await;
    browser.until("document.querySelectorAll('#list > li').length === 1").await;
    held.release();
    browser.until(&done(1)).await;
    assert_eq!(browser.texts("#list .digest code").await, [md5sum(b"b")]);
    browser.click("#clear").await;
    browser.reload().await;
    assert_eq!(browser.texts("#list h3").await, [""; 0]);
    browser.close().await;
}

#[apply(embedded)]
async fn a_task_is_cancelled_from_the_page(setup: Setup) {
    let stack = setup.start(&[("WORKERS", "1")]).await;
    let held = stack.hold_worker().await;
    let browser = Browser::open(&stack, "/").await;
    browser.choose("#files", &[("a.txt", b"abc")]).await;
    let id = browser.text("#list .id code").await;

    browser.click("#list .cancel").await;

    browser.until(&says("#list .state", "Cancelled")).await;
    assert_eq!(stack.task(&id).await["status"], "cancelled");
    held.release();
    browser.close().await;
}

#[apply(embedded)]
async fn the_saved_list_is_one_that_md5sum_accepts(setup: Setup) {
    let stack = setup.start(&[]).await;
    let browser = Browser::open(&stack, "/").await;
    let folder = browser.choose("#files", &[("a b.txt", b"abc"), (r"back\slash", b"b"), ("ünï", b"")]).await;
    browser.until(&done(3)).await;

    browser.click("#save").await;

    fs::write(folder.join("MD5SUMS"), browser.download("MD5SUMS").await).unwrap();
    let mut md5sum = Command::new("md5sum");
    md5sum.args(["--check", "--strict", "--quiet", "MD5SUMS"]).current_dir(&folder);
    let checked = output(md5sum).await;
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    assert_eq!(fs::read_to_string(folder.join("MD5SUMS")).unwrap().lines().count(), 3);
    browser.close().await;
}

#[apply(embedded)]
async fn the_page_outlives_a_restart_of_the_server(setup: Setup) {
    let stack = setup.start(&[("WORKERS", "1")]).await;
    let held = stack.hold_worker().await;
    let browser = Browser::open(&stack, "/").await;
    browser.choose("#files", &[("a.txt", b"abc")]).await;
    browser.text("#list .id code").await;

    stack.kill();
    held.restore();
    browser.until("!document.querySelector('#away').hidden").await;
    browser.choose("#files", &[("b.txt", b"b")]).await;
    stack.start().await;

    browser.until(&done(2)).await;
    browser.until("document.querySelector('#away').hidden").await;
    assert_eq!(browser.texts("#list .digest code").await, [md5sum(b"b"), md5sum(b"abc")]);
    browser.close().await;
}

#[apply(embedded)]
async fn news_is_told_to_those_who_listen(setup: Setup) {
    let stack = setup.start(&[]).await;
    let browser = with_files(&stack, &[("a.txt", b"abc")]).await;

    browser.until(&says("#news", &format!("a.txt is done. Its MD5 is {}.", md5sum(b"abc")))).await;
    browser.close().await;
}

#[apply(embedded)]
async fn everyone_can_use_the_page(setup: Setup) {
    let stack = setup.start(&[("MAX_UPLOAD", "64MiB"), ("WORKERS", "1")]).await;
    let browser = Browser::open(&stack, "/").await;
    browser.assert_accessible("empty").await;

    browser.choose("#files", &[("a.txt", b"abc"), ("b.txt", b"b"), ("large", &noise(3, 65 << 20))]).await;
    browser.until(&done(2)).await;
    browser.until("document.querySelectorAll('#list > [data-state=failed]').length === 1").await;
    browser.fill("#id", "nonsense").await;
    browser.click("#lookup button").await;
    for summary in ["#list-compare summary", ".compare summary", "li + li .compare summary"] {
        browser.click(summary).await;
    }
    browser.fill(".expected", &md5sum(b"abc")).await;
    browser.fill("li + li .expected", &md5sum(b"abc")).await;
    browser.fill("#list-text", "nonsense").await;
    browser.assert_accessible("with results and errors").await;

    let held = stack.hold_worker().await;
    browser.choose("#files", &[("c.txt", b"c"), ("d.txt", b"d")]).await;
    browser
        .until("document.querySelectorAll('#list > [data-state=waiting] .id:not([hidden])').length === 2")
        .await;
    browser.assert_accessible("busy").await;
    held.release();
    browser.until(&done(3)).await;
    browser.close().await;
}

#[apply(embedded)]
async fn the_keyboard_is_enough(setup: Setup) {
    let stack = setup.start(&[]).await;
    let browser = with_files(&stack, &[("a.txt", b"abc")]).await;
    browser.assert_usable_by_keyboard().await;
    browser.close().await;
}

#[apply(embedded)]
async fn a_file_is_handed_in_from_the_docs(setup: Setup) {
    let stack = setup.start(&[]).await;
    let browser = Browser::open(&stack, "/docs").await;
    let operation = ".opblock-post:has([data-path=\"/api/v1/md5\"])";

    browser.click(&format!("{operation} .opblock-summary-control")).await;
    browser.choose(&format!("{operation} input[type=file]"), &[("a.txt", b"abc")]).await;
    browser.click(&format!("{operation} .execute")).await;

    let status = browser.text(&format!("{operation} .live-responses-table tbody .response-col_status")).await;
    assert!(status.starts_with("202"), "{status}");
    let tasks = stack.tasks("limit=10").await;
    assert_eq!(tasks.len(), 1);
    assert_eq!(tasks[0]["input"]["filename"], "a.txt");
    assert!(tasks[0]["input"].get("expected").is_none(), "nothing was filled in: {}", tasks[0]);
    browser.close().await;
}

/// The page after these files were handed in and are done.
async fn with_files(stack: &Arc<Stack>, files: &[(&str, &[u8])]) -> Browser {
    let browser = Browser::open(stack, "/").await;
    browser.choose("#files", files).await;
    browser.until(&done(files.len())).await;
    browser
}

/// Waits until that many looked-up tickets have digests.
fn found(count: usize) -> String {
    format!("document.querySelectorAll('#found-list > [data-state=done]').length === {count}")
}

fn seen(selector: &str) -> String {
    format!("!!document.querySelector('{selector}')?.checkVisibility()")
}

/// Whether the first element of a selector has exactly this text.
fn says(selector: &str, text: &str) -> String {
    format!("document.querySelector('{selector}')?.textContent === {}", Value::from(text))
}
