//! A part of a core for a program under test: a control group with a quota of CPU time, made for the run and removed
//! at its end. On few cores it is how a generator offers several times what the server can.

use std::fs;
use std::path::{Path, PathBuf};

/// The kernel looks at quotas by its own tick (4 ms, mostly): with shorter periods what was used beyond the quota is
/// paid back by longer pauses, and nothing becomes smoother.
const PERIOD_US: u64 = 10_000;
/// The kernel takes no smaller quota.
const LEAST_US: u64 = 1000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    V1,
    V2,
}

/// The group; it goes away when this is dropped.
pub struct Share {
    group: PathBuf,
    /// Where its processes go then.
    parent: PathBuf,
}

impl Share {
    /// Holds `pid`, with all its threads, at `cores` of CPU time (0.3: three tenths of a core).
    pub fn of(cores: f64, pid: u32) -> Result<Self, String> {
        let quota = (PERIOD_US as f64 * cores) as u64;
        if !(LEAST_US..=1_000_000).contains(&quota) {
            return Err(format!("{cores} of a core: from 0.1 on, please"));
        }
        let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
        let (version, parent) = controller(&mounts, |root| {
            fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default()
        })
        .ok_or("no control group of this machine has the controller `cpu`: a server cannot be given a part of a core")?;
        let group = parent.join(format!("aidb-bench-{}", std::process::id()));
        if version == Version::V2 {
            write(&parent.join("cgroup.subtree_control"), "+cpu")?;
        }
        fs::create_dir(&group).map_err(|error| said(&group, &error))?;
        let share = Self { group, parent };
        for (file, value) in settings(version, quota, pid) {
            write(&share.group.join(file), &value)?;
        }
        Ok(share)
    }
}

impl Drop for Share {
    /// A group with processes cannot be removed.
    fn drop(&mut self) {
        let inside = fs::read_to_string(self.group.join("cgroup.procs")).unwrap_or_default();
        for pid in inside.lines() {
            let _ = fs::write(self.parent.join("cgroup.procs"), pid);
        }
        if let Err(error) = fs::remove_dir(&self.group) {
            eprintln!("bench-cluster: {}", said(&self.group, &error));
        }
    }
}

/// The root of the hierarchy that divides CPU time, by the table of mounts and what each root of version 2 controls.
fn controller(mounts: &str, controls: impl Fn(&Path) -> String) -> Option<(Version, PathBuf)> {
    mounts.lines().find_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let (root, kind, options) = (fields.next()?, fields.next()?, fields.next()?);
        let version = match kind {
            "cgroup" if options.split(',').any(|option| option == "cpu") => Version::V1,
            "cgroup2" if has_cpu(&controls(Path::new(root))) => Version::V2,
            _ => return None,
        };
        Some((version, root.into()))
    })
}

fn has_cpu(controllers: &str) -> bool {
    controllers.split_whitespace().any(|name| name == "cpu")
}

/// Files of the group, in the order in which they are written.
fn settings(version: Version, quota: u64, pid: u32) -> Vec<(&'static str, String)> {
    let mut settings = match version {
        Version::V1 => vec![
            ("cpu.cfs_period_us", PERIOD_US.to_string()),
            ("cpu.cfs_quota_us", quota.to_string()),
        ],
        Version::V2 => vec![("cpu.max", format!("{quota} {PERIOD_US}"))],
    };
    settings.push(("cgroup.procs", pid.to_string()));
    settings
}

fn write(file: &Path, value: &str) -> Result<(), String> {
    fs::write(file, value).map_err(|error| said(file, &error))
}

fn said(file: &Path, error: &std::io::Error) -> String {
    format!(
        "a part of a core needs a control group of its own, which takes root, or a container that may make some: {}: {error}",
        file.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: &str = "proc /proc proc rw 0 0\n\
        cgroup /sys/fs/cgroup/cpuset cgroup rw,cpuset 0 0\n\
        cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,nosuid,cpu,cpuacct 0 0\n\
        cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";

    #[test]
    fn the_hierarchy_that_divides_cpu_time_is_found() {
        let found = |mounts: &str, controls: &'static str| {
            controller(mounts, move |_| controls.to_owned())
                .map(|(version, root)| (version, root.display().to_string()))
        };
        let first = Some((Version::V1, "/sys/fs/cgroup/cpu,cpuacct".to_owned()));
        assert_eq!(found(BOTH, "hugetlb"), first);
        let second = "cgroup2 /sys/fs/cgroup cgroup2 rw,nsdelegate 0 0\n";
        assert_eq!(
            found(second, "cpuset cpu io memory"),
            Some((Version::V2, "/sys/fs/cgroup".to_owned()))
        );
        assert_eq!(found(second, "cpuset"), None);
        assert_eq!(found("", "cpu"), None);
    }

    #[test]
    fn a_quota_is_written_before_anybody_is_held_by_it() {
        let written = |version| {
            let settings = settings(version, 3000, 7).into_iter();
            let lines: Vec<String> = settings
                .map(|(file, value)| format!("{file} {value}"))
                .collect();
            lines.join("; ")
        };
        assert_eq!(
            written(Version::V1),
            "cpu.cfs_period_us 10000; cpu.cfs_quota_us 3000; cgroup.procs 7"
        );
        assert_eq!(written(Version::V2), "cpu.max 3000 10000; cgroup.procs 7");
    }

    #[test]
    fn what_is_no_part_of_a_core_is_refused() {
        for cores in [0.0, -1.0, 0.05, f64::NAN, 1e9] {
            assert!(Share::of(cores, 1).is_err(), "{cores}");
        }
    }
}
