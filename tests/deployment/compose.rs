//! The compose files: which container reaches which server, which images run, and where passwords come from.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// Each service, and all that it shares a network with.
const REACHES: [(&str, &[&str]); 14] = [
    ("postgres", &["api", "migrate", "worker"]),
    ("rabbitmq", &["api", "worker"]),
    ("redis", &["api", "worker"]),
    ("migrate", &["api", "postgres", "worker"]),
    ("api", &["migrate", "postgres", "proxy", "rabbitmq", "redis", "worker"]),
    ("worker", &["api", "free", "migrate", "paid", "postgres", "rabbitmq", "redis", "third-party"]),
    ("proxy", &["api", "background1", "background2", "client", "tools"]),
    ("free", &["paid", "third-party", "worker"]),
    ("paid", &["free", "third-party", "worker"]),
    ("third-party", &["free", "paid", "worker"]),
    ("client", &["background1", "background2", "proxy", "tools"]),
    ("background1", &["background2", "client", "proxy", "tools"]),
    ("background2", &["background1", "client", "proxy", "tools"]),
    ("tools", &["background1", "background2", "client", "proxy"]),
];
/// The database, the broker and Redis: they neither reach anything beyond their networks, nor are reached from there.
const SERVERS: [&str; 3] = ["postgres", "rabbitmq", "redis"];

#[test]
fn a_container_reaches_what_it_needs_and_nothing_else() {
    let compose = read("docker-compose.yml");
    let services = compose["services"].as_object().unwrap();
    let networks: BTreeMap<&str, BTreeSet<&str>> =
        services.iter().map(|(name, service)| (name.as_str(), texts(&service["networks"]))).collect();
    let reaches: BTreeMap<&str, BTreeSet<&str>> = networks
        .iter()
        .map(|(name, own)| {
            let others = networks.iter().filter(|(other, theirs)| *other != name && !own.is_disjoint(theirs));
            (*name, others.map(|(other, _)| *other).collect())
        })
        .collect();
    let expected = REACHES.map(|(name, others)| (name, others.iter().copied().collect()));
    assert_eq!(reaches, BTreeMap::from(expected));
    for server in SERVERS {
        for network in &networks[server] {
            assert_eq!(compose["networks"][network]["internal"], true, "{server}: {network}");
        }
        assert_eq!(services[server]["ports"], Value::Null, "{server}");
    }
    for (name, service) in services {
        for port in service["ports"].as_array().into_iter().flatten() {
            assert!(port.as_str().unwrap().starts_with("127.0.0.1:"), "{name}: {port}");
        }
    }
}

#[test]
fn in_production_each_image_is_named_by_its_digest() {
    let (compose, production) = (read("docker-compose.yml"), read("docker-compose.production.yml"));
    let is_digest = |image: &str| {
        let digest = image.rsplit_once("@sha256:").map_or("", |(_, digest)| digest);
        digest.len() == 64 && digest.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let bases: BTreeSet<String> = dockerfiles().iter().flat_map(|file| bases_of(file)).collect();
    assert!(bases.len() >= 2, "{bases:?}");
    for (name, service) in compose["services"].as_object().unwrap() {
        let pinned = &production["services"][name];
        if let Some(image) = service["image"].as_str() {
            assert!(!image.contains("management"), "{name}: {image}");
            let pinned = pinned["image"].as_str().unwrap_or_default();
            assert!(is_digest(pinned) && pinned.starts_with(image), "{name}: {pinned:?} for {image}");
        } else {
            let contexts = pinned["build"]["additional_contexts"].as_object();
            let contexts = contexts.unwrap_or_else(|| panic!("{name}: images to build from have no digest"));
            assert!(
                contexts.keys().cloned().collect::<BTreeSet<_>>() == bases,
                "{name}: {contexts:?} for {bases:?}"
            );
            for (base, pinned) in contexts {
                let pinned = pinned.as_str().unwrap();
                assert!(is_digest(pinned), "{name}: {pinned}");
                assert!(pinned.starts_with(&format!("docker-image://{base}@")), "{name}: {pinned}");
            }
        }
    }
}

#[test]
fn each_server_asks_for_a_password_and_production_has_none_of_development() {
    let (compose, production) = (read("docker-compose.yml"), read("docker-compose.production.yml"));
    assert!(texts(&compose["services"]["redis"]["command"]).contains("--requirepass"));
    for service in ["api", "worker"] {
        let file = deployment().join(compose["services"][service]["env_file"].as_str().unwrap());
        let settings = fs::read_to_string(file).unwrap();
        for setting in
            ["DATABASE_URL=postgres://coatcheck:", "AMQP_URL=amqp://coatcheck:", "REDIS_URL=redis://:"]
        {
            assert!(settings.contains(setting), "{service}: {setting}");
        }
    }
    // Every password of development is absent in production.
    for (name, service) in compose["services"].as_object().unwrap() {
        let Some(file) = service["env_file"].as_str() else { continue };
        if fs::read_to_string(deployment().join(file)).unwrap().contains("development") {
            assert_eq!(production["services"][name]["env_file"], Value::Array(Vec::new()), "{name}");
        }
    }
    assert!(!production.to_string().contains("development"));
    assert_eq!(production["services"]["redis"]["command"][1], "/run/secrets/redis_conf");
}

#[test]
fn images_and_packages_have_the_binary_of_one_build() {
    const COMPILE: &str = "deployment/package/compile";
    let texts: Vec<String> = dockerfiles().iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    let with_binary = texts.iter().filter(|text| text.contains("coatcheck /usr/local/bin/coatcheck"));
    let stages: BTreeSet<&str> = with_binary.map(|text| text.split_once("FROM ").unwrap().1).collect();
    let builds: BTreeSet<&str> = stages.iter().map(|text| text.split("\nFROM ").next().unwrap()).collect();
    assert_eq!((stages.len(), builds.len()), (4, 1), "{builds:?}");
    let [build] = builds.into_iter().collect::<Vec<_>>()[..] else { unreachable!() };
    let packages = fs::read_to_string(deployment().join("package/build")).unwrap();
    let context = fs::read_to_string(deployment().join("../.dockerignore")).unwrap();
    assert!(build.contains(COMPILE) && packages.contains(COMPILE), "{build}");
    // `.cargo` has settings of the build, such as the flags for SQLite.
    for part in [COMPILE, ".cargo", "Cargo.lock"] {
        assert!(context.lines().any(|line| line == format!("!{part}")), "{part}: {context}");
    }
    // Neither compiles by other flags.
    for text in [build, &packages] {
        assert!(!text.contains("cargo build"), "{text}");
    }
}

fn deployment() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deployment")
}

fn read(file: &str) -> Value {
    serde_saphyr::from_str(&fs::read_to_string(deployment().join(file)).unwrap()).unwrap()
}

fn dockerfiles() -> Vec<PathBuf> {
    let files = fs::read_dir(deployment()).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|extension| extension == "Dockerfile")).collect()
}

/// The images that a Dockerfile begins with.
fn bases_of(dockerfile: &Path) -> Vec<String> {
    let text = fs::read_to_string(dockerfile).unwrap();
    let from = text.lines().filter_map(|line| line.strip_prefix("FROM "));
    from.map(|image| image.split(' ').next().unwrap().to_owned()).collect()
}

/// The texts of a list.
fn texts(list: &Value) -> BTreeSet<&str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}
