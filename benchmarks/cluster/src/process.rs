//! A program under test: started, waited for, stopped when it is dropped.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};

const START: Duration = Duration::from_secs(60);
const STOP: Duration = Duration::from_secs(20);

pub struct Program {
    pub name: String,
    pub address: String,
    child: Child,
}

impl Program {
    /// One that prints a line with its address when it serves, as ours do. Its log goes to `logs`.
    pub fn announced(name: &str, mut command: Command, logs: &Path) -> Result<Self, String> {
        command.stdout(Stdio::piped());
        let mut child = spawn(name, command, logs)?;
        let stdout = child.stdout.take().ok_or("no standard output")?;
        let mut program = Self {
            name: name.to_owned(),
            address: String::new(),
            child,
        };
        let (sender, line) = mpsc::channel();
        std::thread::spawn(move || {
            let mut line = String::new();
            let _ = BufReader::new(stdout).read_line(&mut line);
            let _ = sender.send(line);
        });
        let line = line.recv_timeout(START).unwrap_or_default();
        let said: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
        program.address = said["address"]
            .as_str()
            .ok_or_else(|| format!("{name} did not start; its log is below {}", logs.display()))?
            .to_owned();
        Ok(program)
    }

    /// One that serves when its port takes connections.
    pub fn listening(
        name: &str,
        command: Command,
        address: SocketAddr,
        logs: &Path,
    ) -> Result<Self, String> {
        let mut program = Self {
            name: name.to_owned(),
            address: address.to_string(),
            child: spawn(name, command, logs)?,
        };
        let end = Instant::now() + START;
        while TcpStream::connect(address).is_err() {
            let ended = program
                .child
                .try_wait()
                .map_err(|error| error.to_string())?;
            if ended.is_some() || Instant::now() > end {
                return Err(format!(
                    "{name} did not start; its log is below {}",
                    logs.display()
                ));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(program)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let end = Instant::now() + STOP;
        while Instant::now() < end {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(name: &str, mut command: Command, logs: &Path) -> Result<Child, String> {
    let failed = |error: io::Error| format!("{name}: {:?}: {error}", command.get_program());
    let log = File::create(logs.join(format!("{name}.log"))).map_err(failed)?;
    command.stderr(log).stdin(Stdio::null());
    // SAFETY: between fork and exec only prctl is called, which is safe there. Programs are started by the main thread,
    // which lives as long as the process.
    unsafe {
        command.pre_exec(|| Ok(set_parent_process_death_signal(Some(Signal::TERM))?));
    }
    command
        .spawn()
        .map_err(|error| format!("{name}: {:?}: {error}", command.get_program()))
}

/// For programs that cannot pick a port themselves. Another program may take it meanwhile; then the start fails.
pub fn free_port() -> io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}
