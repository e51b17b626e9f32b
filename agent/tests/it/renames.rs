//! Folders that are renamed while a run goes on: at each point where it matters, whatever the run made of it the next
//! ones put right.

use super::site::Site;

/// A parent and a folder below it, mirrored and renamed; renamed again while the run that follows is at `point`.
fn renamed_twice(point: &str) {
    let site = Site::new();
    let mut primary = site.primary();
    for folder in ["Teil", "Teil.Unter"] {
        primary.create(folder).unwrap();
    }
    site.fill("INBOX", 1, 3);
    site.fill("Teil", 10, 30);
    site.fill("Teil.Unter", 50, 30);
    site.once().exits(0);
    primary.rename("Teil", "Teila").unwrap();
    site.held_at(point, || primary.rename("Teila", "Teilb").unwrap());
    let said = site.once();
    assert_eq!(said.classes(), [""; 0], "{point}");
    assert_eq!((said.code, said.sent()), (0, 0), "{point}");
    site.assert_equal();
    site.agent(&["store", "check"]).exits(0);
}

#[test]
fn a_folder_renamed_twice_is_followed_wherever_the_run_is() {
    std::thread::scope(|all| {
        for point in [
            "folders listed",
            "looked",
            "rename noted",
            "renamed",
            "folders listed:2",
            "looked:2",
        ] {
            all.spawn(move || renamed_twice(point));
        }
    });
}

#[test]
fn a_plan_that_is_shown_goes_on_behind_a_rename() {
    let site = Site::new();
    let mut primary = site.primary();
    for folder in ["Alt", "Alt.Unter"] {
        primary.create(folder).unwrap();
    }
    site.fill("Alt", 1, 5);
    site.fill("Alt.Unter", 10, 5);
    site.once().exits(0);
    primary.rename("Alt", "Neu").unwrap();
    site.fill("Neu", 20, 3);
    let said = site.agent(&["mirror", "--dry-run"]).exits(0);
    let plan = &said.triangle()["plan"];
    let renames = plan["renames"].as_array().unwrap();
    let renames: Vec<_> = renames
        .iter()
        .map(|r| {
            (
                r["from"].as_str().unwrap(),
                r["to"].as_str().unwrap(),
                r["on_target"] == true,
            )
        })
        .collect();
    assert_eq!(
        renames,
        [("Alt", "Neu", true), ("Alt/Unter", "Neu/Unter", true)]
    );
    let copies = plan["copies"].as_object().unwrap();
    let copies: Vec<_> = copies
        .iter()
        .map(|(folder, list)| (folder.as_str(), list.as_array().unwrap().len()))
        .collect();
    assert_eq!(copies, [("Neu", 3)]);
    assert_eq!(
        (
            plan["moves"].as_array().unwrap().len(),
            plan["records"].as_array().unwrap().len()
        ),
        (0, 0)
    );
    // It was only shown.
    assert_eq!(site.standby().messages("Alt").unwrap().len(), 5);
    assert_eq!(site.once().exits(0).sent(), 3);
    site.assert_equal();
}
