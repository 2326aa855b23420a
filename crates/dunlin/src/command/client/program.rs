//! Programs that the Client runs for its Objects: with a time limit, a bound on what they say, and nothing left
//! running behind.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};

/// A program that says more than this says something else than a value.
pub(super) const OUTPUT_BYTES_MAX: u64 = 64 * 1024;

/// What to run.
#[derive(Clone, Debug)]
pub(super) struct Program {
    /// The program and its arguments; at least the program.
    pub(super) command: Vec<String>,
    /// How long it may take.
    pub(super) limit: Duration,
}

/// How it ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) status: ExitStatus,
    pub(super) output: Vec<u8>,
}

impl Program {
    /// Runs it with this on its standard input and these variables beside our own.
    ///
    /// # Errors
    /// It cannot be started, takes too long, or says too much; it and its children are gone then.
    pub(super) async fn run(
        &self,
        input: &[u8],
        variables: &[(&str, String)],
    ) -> io::Result<Ended> {
        let (program, arguments) = self
            .command
            .split_first()
            .ok_or_else(|| io::Error::other("there is no program to run"))?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .envs(
                variables
                    .iter()
                    .map(|(name, value)| (*name, value.as_str())),
            )
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            // One group, so that its children can be ended with it.
            .process_group(0)
            .kill_on_drop(true);
        let mut child = command.spawn()?;
        let group = child.id();
        let ended = tokio::time::timeout(self.limit, talk(&mut child, input)).await;
        match ended {
            Ok(Ok(ended)) => Ok(ended),
            Ok(Err(error)) => {
                end_group(group).await;
                Err(error)
            }
            Err(_) => {
                end_group(group).await;
                let what = format!("it takes longer than {} s", self.limit.as_secs_f64());
                Err(io::Error::new(io::ErrorKind::TimedOut, what))
            }
        }
    }

    /// The program, for people.
    pub(super) fn name(&self) -> &str {
        self.command.first().map_or("", String::as_str)
    }
}

async fn talk(child: &mut Child, input: &[u8]) -> io::Result<Ended> {
    let mut stdin = child.stdin.take().expect("it is piped");
    let stdout = child.stdout.take().expect("it is piped");
    let write = async {
        // A program need not read what it is told.
        let _ = stdin.write_all(input).await;
        drop(stdin);
    };
    let mut output = Vec::new();
    let mut bounded = stdout.take(OUTPUT_BYTES_MAX + 1);
    let read = bounded.read_to_end(&mut output);
    let ((), read) = tokio::join!(write, read);
    read?;
    if output.len() as u64 > OUTPUT_BYTES_MAX {
        let what = format!("it says more than {OUTPUT_BYTES_MAX} bytes");
        return Err(io::Error::other(what));
    }
    let status = child.wait().await?;
    Ok(Ended { status, output })
}

async fn end_group(group: Option<u32>) {
    let Some(group) = group else { return };
    let ended = Command::new("kill")
        .args(["-KILL", "--", &format!("-{group}")])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .await;
    if let Err(error) = ended {
        tracing::warn!(%error, group, "a program that takes too long cannot be ended");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, limit: Duration) -> Program {
        Program {
            command: ["sh", "-c", script].map(String::from).to_vec(),
            limit,
        }
    }

    const LIMIT: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn a_program_hears_and_says_something() {
        let script = shell("read line; echo \"$line $GREETING\"; exit 3", LIMIT);
        let ended = script
            .run(b"hello\n", &[("GREETING", "world".into())])
            .await;
        let ended = ended.unwrap();
        assert_eq!(
            (&ended.output[..], ended.status.code()),
            (&b"hello world\n"[..], Some(3))
        );
        // It need not listen.
        let deaf = shell("echo 7", LIMIT)
            .run(&[0; 200_000], &[])
            .await
            .unwrap();
        assert_eq!(deaf.output, b"7\n");
    }

    #[tokio::test]
    async fn one_that_takes_too_long_is_ended_with_its_children() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        let script = format!("sleep 60 & echo $! > {}; wait", file.display());
        let limit = Duration::from_millis(1_500);
        let error = shell(&script, limit).run(b"", &[]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let child = std::fs::read_to_string(file).unwrap();
        // A signal that is sent is not yet delivered: the child may take a moment to go.
        let is_there = || {
            let state = std::fs::read_to_string(format!("/proc/{}/stat", child.trim()));
            state.is_ok_and(|state| !state.contains(") Z ") && !state.contains(") X "))
        };
        let gone = async {
            while is_there() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let gone = tokio::time::timeout(LIMIT, gone).await;
        assert!(gone.is_ok(), "{child} still runs");
    }

    #[tokio::test]
    async fn one_that_says_too_much_or_is_not_there_is_an_error() {
        let flood = shell("yes", LIMIT).run(b"", &[]).await.unwrap_err();
        assert!(flood.to_string().contains("says more"), "{flood}");
        let none = Program {
            command: vec!["/no/such/program".into()],
            limit: LIMIT,
        };
        assert!(none.run(b"", &[]).await.is_err());
    }
}
