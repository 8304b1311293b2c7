//! Lookups of many keys at once give what lookups one by one give, wherever the keys lie.

use aidb_lsm::Range;
use rand::Rng;

use crate::support::{FaultIo, delete, open, put, random};

#[test]
fn many_lookups_are_as_good_as_one_by_one() {
    let io = FaultIo::default();
    let store = open(&io);
    let mut random = random("many");
    for round in 0..6 {
        for _ in 0..400 {
            let key = format!("{:04}", random.random_range(0..1000));
            match random.random_range(0..10) {
                0 => delete(&store, &key),
                _ => put(&store, &key, &format!("{key} in round {round}")),
            };
        }
        match round {
            1 => store.compact().unwrap(),
            2 | 3 => store.flush().unwrap(),
            4 => assert!(store.delete_range(&Range::between("0300", "0350")).unwrap() > 0),
            _ => {}
        }
        let asked: Vec<String> = (0..1100).map(|key| format!("{key:04}")).collect();
        let (_, found) = store.get_many(&asked).unwrap();
        let one_by_one = asked
            .iter()
            .map(|key| store.get(key.as_bytes()).unwrap().entry);
        assert!(one_by_one.eq(found.iter().cloned()));
        assert!(found.iter().flatten().count() > 100);
    }
}
