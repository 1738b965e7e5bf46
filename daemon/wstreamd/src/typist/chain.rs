//! The drivers, in the order in which they are asked.

use std::time::{Duration, Instant};

use wstream_typing::{Driver, Open, Session, Target, Unable};

/// A driver that is not there is asked again after this: a compositor or an input method may have
/// been started since.
const AGAIN: Duration = Duration::from_secs(5);

/// The drivers of a desktop.
#[derive(Debug)]
pub(super) struct Chain {
    session: Session,
    links: Vec<Link>,
}

#[derive(Debug)]
struct Link {
    name: &'static str,
    open: Open,
    driver: Option<Box<dyn Driver>>,
    /// Why it is not there, and when that was found.
    absent: Option<(Unable, Instant)>,
}

impl Chain {
    /// Drivers from `table`, opened when they are needed; those of `names` in their order, or all.
    pub(super) fn new(table: &[(&'static str, Open)], names: &[String], session: Session) -> Self {
        let find = |name: &String| table.iter().find(|(known, _)| known == name);
        let chosen: Vec<&(&'static str, Open)> = if names.is_empty() {
            table.iter().collect()
        } else {
            names.iter().filter_map(find).collect()
        };
        let links = chosen.into_iter().map(|&(name, open)| Link {
            name,
            open,
            driver: None,
            absent: None,
        });
        Chain {
            session,
            links: links.collect(),
        }
    }

    /// Where the desktop is.
    pub(super) fn session(&self) -> &Session {
        &self.session
    }

    /// Whether there is a desktop at all.
    pub(super) fn has_desktop(&self) -> bool {
        ["DISPLAY", "WAYLAND_DISPLAY"]
            .iter()
            .any(|name| self.session.get(name).is_some())
    }

    /// The first driver from place `from` on that has a target, with its place; or why none has:
    /// what the user can do something about rather than what this desktop does not have.
    pub(super) fn pick(&mut self, from: usize) -> Result<(usize, Target), Unable> {
        let mut why: Option<Unable> = None;
        for at in from..self.links.len() {
            match self.links[at].target(&self.session) {
                Ok(target) => return Ok((at, target)),
                // Another one would do the same harm.
                Err(harm @ Unable::Unsafe(_)) => return Err(harm),
                Err(unable) => {
                    let is_better = matches!(unable, Unable::NoTarget(_))
                        && !matches!(why, Some(Unable::NoTarget(_)));
                    if why.is_none() || is_better {
                        why = Some(unable);
                    }
                }
            }
        }
        Err(why.unwrap_or_else(|| Unable::Absent("no typing driver is chosen".to_owned())))
    }

    /// The driver at a place that [`Self::pick`] gave; a driver that has gone since is none.
    pub(super) fn driver(&mut self, at: usize) -> Option<&mut dyn Driver> {
        let driver = self.links.get_mut(at)?.driver.as_mut()?;
        Some(driver.as_mut())
    }

    /// The name of the driver at a place.
    pub(super) fn name(&self, at: usize) -> &'static str {
        self.links[at].name
    }

    /// The desktop of the driver at a place has gone: it is opened again when it is asked next.
    pub(super) fn close(&mut self, at: usize) {
        self.links[at].driver = None;
    }
}

impl Link {
    fn target(&mut self, session: &Session) -> Result<Target, Unable> {
        // A driver whose desktop has gone is opened once more.
        for _ in 0..2 {
            let target = match &mut self.driver {
                Some(driver) => driver.target(),
                None => {
                    self.open(session)?;
                    continue;
                }
            };
            match target {
                Err(Unable::Gone(why)) => {
                    tracing::debug!(driver = self.name, why, "a typing driver has gone");
                    self.driver = None;
                }
                answer => return answer,
            }
        }
        self.driver
            .as_mut()
            .map_or_else(|| Err(absent(self.name)), |driver| driver.target())
    }

    fn open(&mut self, session: &Session) -> Result<(), Unable> {
        if let Some((why, when)) = &self.absent
            && when.elapsed() < AGAIN
        {
            return Err(why.clone());
        }
        match (self.open)(session) {
            Ok(driver) => {
                tracing::debug!(driver = self.name, "a typing driver is ready");
                (self.driver, self.absent) = (Some(driver), None);
                Ok(())
            }
            Err(why) => {
                tracing::debug!(driver = self.name, %why, "a typing driver is not there");
                self.absent = Some((why.clone(), Instant::now()));
                Err(why)
            }
        }
    }
}

fn absent(name: &str) -> Unable {
    Unable::Gone(format!("the desktop of the driver {name} comes and goes"))
}
