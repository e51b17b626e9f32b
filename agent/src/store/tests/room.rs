//! A file system that is really full: what is said, that nothing committed is lost, and that it goes on.

use std::process::Command;

use super::*;

const SMALL_DIR: &str = "MAILDREIECK_STORE_SMALL_DIR";

/// Runs itself again where a file system of 4 MB can be mounted that nobody else sees.
#[test]
fn a_full_file_system_is_named_and_costs_nothing_that_was_committed() {
    if let Some(dir) = std::env::var_os(SMALL_DIR) {
        return within(&PathBuf::from(dir));
    }
    let dir = TempDir::new().unwrap();
    let name =
        "store::tests::room::a_full_file_system_is_named_and_costs_nothing_that_was_committed";
    let output = Command::new("unshare")
        .args(["--map-root-user", "--mount", "sh", "-c"])
        .arg("mount -t tmpfs -o size=4m none \"$1\" && exec \"$2\" --exact \"$3\" --nocapture")
        .arg("sh")
        .args([
            dir.path().as_os_str(),
            std::env::current_exe().unwrap().as_os_str(),
        ])
        .arg(name)
        .env(SMALL_DIR, dir.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "needs a user namespace to mount in (sysctl kernel.unprivileged_userns_clone=1): {text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn within(root: &std::path::Path) {
    let bench = Bench {
        dir: root.join("store"),
        ..Bench::new()
    };
    let ballast = root.join("ballast");
    let fill = |left: usize| {
        let _ = fs::remove_file(&ballast);
        let free = nix::sys::statvfs::statvfs(root).unwrap();
        let free = free.blocks_available() * free.fragment_size();
        let octets = usize::try_from(free).unwrap().saturating_sub(left);
        fs::write(&ballast, vec![1; octets]).unwrap();
    };
    let said = |error: StoreError| {
        assert!(matches!(error, StoreError::NoRoom { .. }), "{error:?}");
        let text = error.to_string();
        assert!(text.contains(bench.dir.to_str().unwrap()), "{text}");
        assert!(text.contains("make room there"), "{text}");
        assert!(!error.temporary());
    };
    let mut store = bench.open();
    store_mail(&mut store, 1);
    let kept = store.put(&noise(1, 100_000)).unwrap().id;
    store.record(add(100, kept, 100_000)).unwrap();
    store.commit().unwrap();
    let before = state(&store);

    // A segment that cannot grow: at a message, at a piece, and at the commit.
    fill(300_000);
    said(store.put(&noise(2, 2_000_000)).unwrap_err());
    let octets = noise(3, 2_000_000);
    let mut large = store.begin_large();
    let mut failed = None;
    for part in octets.chunks(10_000) {
        if let Err(error) = large.write(&mut store, part) {
            failed = Some(error);
            break;
        }
    }
    said(failed.expect("there is no room for it"));
    assert!(matches!(
        large.write(&mut store, b"x"),
        Err(StoreError::LargeDropped)
    ));
    fill(20_000);
    store.put(&noise(4, 200_000)).unwrap();
    said(store.commit().unwrap_err());
    assert_eq!(state(&store), before);

    // An index that cannot grow, behind a segment that can.
    fill(150_000);
    let mut n = 1000;
    let error = loop {
        for _ in 0..100 {
            store.record(add(n, kept, 1)).unwrap();
            n += 1;
        }
        if let Err(error) = store.commit() {
            break error;
        }
    };
    said(error);
    let full = state(&store);
    assert!(full.values().all(|(_, readable)| *readable));

    // With room the same store goes on, and so does one that is opened anew.
    fs::remove_file(&ballast).unwrap();
    let mut large = store.begin_large();
    large.write(&mut store, &octets[..1_500_000]).unwrap();
    let id = large.finish(&mut store).unwrap().id;
    store.record(add(101, id, 1_500_000)).unwrap();
    store_mail(&mut store, 2);
    store.commit().unwrap();
    assert_eq!(store.read(&id).unwrap(), &octets[..1_500_000]);
    let after = state(&store);
    assert_eq!(after.len(), full.len() + 2);
    assert!(full.iter().all(|(id, was)| after.get(id) == Some(was)));
    assert!(store.check(9, |_, _| {}).unwrap().is_good());
    drop(store);
    let store = bench.open();
    assert_eq!(*store.recovery(), Recovery::default());
    assert_eq!(state(&store), after);
    drop(store);
    bench.without_index();
    assert_eq!(state(&bench.open()), after);

    // Nor is a store begun where there is no room for one.
    fill(0);
    let other = root.join("other");
    let Err(error) = Store::open(&other, &key()) else {
        panic!("there is no room for a store");
    };
    let text = error.to_string();
    assert!(text.contains(other.to_str().unwrap()), "{text}");
    fs::remove_file(&ballast).unwrap();
    Store::open(&other, &key()).unwrap();
}
