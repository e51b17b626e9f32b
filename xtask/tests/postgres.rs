//! A throw-away PostgreSQL.

use xtask::lab::Cluster;

#[test]
fn databases_are_made_and_kept_apart() {
    let cluster = Cluster::shared().unwrap();
    let [one, two] = [
        cluster.create_database("one").unwrap(),
        cluster.create_database("two").unwrap(),
    ];
    assert_ne!(one, two);
    let name = one.rsplit('/').next().unwrap();
    assert_eq!(
        cluster
            .sql(name, "SELECT current_database()")
            .unwrap()
            .trim(),
        name
    );
    assert!(cluster.sql(name, "SELECT nonsense").is_err());
    assert!(cluster.create_database("x; DROP").is_err());
}
