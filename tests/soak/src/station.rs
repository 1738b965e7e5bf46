//! What the run needs: a desktop with a sound server, the daemon with plugins, an engine that it
//! reaches over the network, and sound to play.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use tokio::process::Command;
use wstream_tests::between::Engine;
use wstream_tests::{Desktop, Follower, Running, Script, corpus, models_with, sound};

/// Parts of the corpus whose speech a small model understands.
const CLEAR: [&str; 5] = [
    "librispeech/",
    "librispeech-train/",
    "ljspeech/",
    "vctk/",
    "cmu-arctic/",
];

/// A sound to play.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) file: PathBuf,
    /// What is said in it; empty: nothing.
    pub(crate) said: String,
}

pub(crate) struct Station {
    /// Everything ends with it.
    _desktop: Desktop,
    pub(crate) daemon: Running,
    pub(crate) speech: Vec<Item>,
    pub(crate) noise: Vec<Item>,
    remote: Engine,
    sound: Script,
}

impl Station {
    /// `None` where something is not installed, which is said.
    pub(crate) async fn raise(server: &str) -> Result<Option<Self>> {
        let Some(models) = models_with("tiny.en") else {
            return Ok(None);
        };
        const WANTED: [&str; 3] = ["MIC_DIR", "ALSA_CONFIG_PATH", "PIPEWIRE_RUNTIME_DIR"];
        let wanted = |name: &str| WANTED.contains(&name) || name.starts_with("PULSE_");
        let sound = Script::raise("mic.sh", &["run", server], wanted).await?;
        let Some(sound) = sound else {
            return Ok(None);
        };
        let desktop = Desktop::new(&models).await?;
        let remote = Engine::start(&desktop).await?;
        desktop.configure(&format!(
            "model = \"tiny.en\"\n[audio]\nhost = \"pulseaudio\"\n\
             [remote.other]\nurl = \"ws://127.0.0.1:{}\"\n\
             [plugins]\nrun = [\"words\", \"history\", \"hooks\"]\n",
            remote.port
        ))?;
        let daemon = desktop
            .start_with(|command| {
                command.envs(sound.env.clone());
            })
            .await?;
        let (speech, noise) = items(desktop.path())?;
        Ok(Some(Station {
            _desktop: desktop,
            daemon,
            speech,
            noise,
            remote,
            sound,
        }))
    }

    pub(crate) async fn follower(&self) -> Result<Follower> {
        Follower::new(&self.daemon.connection).await
    }

    pub(crate) async fn listen(&self) -> Result<()> {
        self.daemon.proxy.start(HashMap::new()).await?;
        Ok(())
    }

    /// Plays a file into the microphone, at its own pace, to its end.
    pub(crate) async fn play(&self, file: &Path) -> Result<()> {
        let status = Command::new("paplay")
            .envs(self.sound.env.clone())
            .arg("--device=speaker")
            .arg(file)
            .kill_on_drop(true)
            .status()
            .await?;
        ensure!(status.success(), "paplay ended with {status}");
        Ok(())
    }

    /// The plugins that run: names and processes.
    pub(crate) async fn plugins(&self) -> Result<Vec<(String, i32)>> {
        let text = |entry: &HashMap<String, zbus::OwnedVariant>, key: &str| {
            let value = entry.get(key)?;
            <&str>::try_from(value).ok().map(str::to_owned)
        };
        let plugins = self.daemon.proxy.plugins().await?;
        let running = plugins.iter().filter_map(|entry| {
            let pid = entry.get(wstream_api::keys::PID)?.downcast_ref::<u32>();
            Some((text(entry, wstream_api::keys::NAME)?, pid.ok()? as i32))
        });
        Ok(running.collect())
    }

    /// The daemon's own engine, while it has one.
    pub(crate) fn engines(&self) -> Result<Vec<i32>> {
        let children = self.daemon.engine_pids()?;
        let is_engine = |pid: &i32| {
            let name = std::fs::read_to_string(format!("/proc/{pid}/comm"));
            name.is_ok_and(|name| name.starts_with("wstream-engine"))
        };
        Ok(children.into_iter().filter(is_engine).collect())
    }

    /// The engine behind the network.
    pub(crate) fn other_engine(&self) -> Option<i32> {
        self.remote.pid()
    }

    /// The daemon must end well after all that.
    pub(crate) async fn end(self) -> Result<()> {
        self.daemon.terminate().await
    }
}

/// Speech and noise: of the corpus where it is, else synthetic.
fn items(dir: &Path) -> Result<(Vec<Item>, Vec<Item>)> {
    let Some(corpus) = corpus() else {
        return synthetic(dir);
    };
    let manifest = std::fs::read_to_string(corpus.join("manifest.tsv"))?;
    let (mut speech, mut noise) = (Vec::new(), Vec::new());
    for line in manifest.lines().skip(1) {
        let fields: Vec<&str> = line.split('\t').collect();
        let [path, _, _, _, said, ..] = fields[..] else {
            continue;
        };
        let item = Item {
            file: corpus.join(path),
            said: said.to_owned(),
        };
        if CLEAR.iter().any(|part| path.starts_with(part)) {
            speech.push(item);
        } else if path.starts_with("nonspeech-") {
            noise.push(item);
        }
    }
    ensure!(!speech.is_empty() && !noise.is_empty(), "an empty corpus");
    Ok((speech, noise))
}

fn synthetic(dir: &Path) -> Result<(Vec<Item>, Vec<Item>)> {
    const TEXTS: [&str; 4] = [
        "The weather is fine today, and we will walk down to the river.",
        "Please write that down for me before you go home.",
        "Nobody should even notice that the server has gone away.",
        "The first sentence is short. After it comes a much longer second sentence.",
    ];
    let speech = TEXTS.iter().enumerate().map(|(number, text)| {
        Ok(Item {
            file: sound::speak(dir, &format!("sentence-{number}"), text)?,
            said: (*text).to_owned(),
        })
    });
    let speech = speech.collect::<Result<Vec<Item>>>()?;
    let file = dir.join("noise.wav");
    let arguments = "-n -r 16000 -c 1 -b 16".split(' ');
    let mut arguments: Vec<&std::ffi::OsStr> = arguments.map(AsRef::as_ref).collect();
    arguments.push(file.as_os_str());
    arguments.extend(
        "synth 5 pinknoise vol 0.05"
            .split(' ')
            .map(std::ffi::OsStr::new),
    );
    sound::sox(&arguments).context("noise")?;
    let said = String::new();
    Ok((speech, vec![Item { file, said }]))
}
