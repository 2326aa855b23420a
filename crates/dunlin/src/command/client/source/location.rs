//! Object 6 from what the command line says: a place, or a file in which another program keeps one.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use dunlin_client::{Fix, Now, Sample, Source};

/// Where the machine is.
#[derive(Clone, Debug)]
pub(crate) enum Location {
    /// It does not move.
    Fixed(Fix),
    /// The first line of this file says where.
    File { path: PathBuf, last: Option<String> },
}

impl Location {
    /// Reads `LAT,LON[,ALT]`, or takes the text for a file.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        if text.contains(',') {
            return Ok(Self::Fixed(fix(text)?));
        }
        Ok(Self::File {
            path: text.into(),
            last: None,
        })
    }
}

fn fix(text: &str) -> anyhow::Result<Fix> {
    let parts: Vec<&str> = text.trim().split(',').map(str::trim).collect();
    let number = |text: &str| -> anyhow::Result<f64> {
        let number: f64 = text
            .parse()
            .with_context(|| format!("{text:?} is no number"))?;
        if number.is_finite() {
            Ok(number)
        } else {
            bail!("{text:?} is no number")
        }
    };
    let (latitude, longitude, altitude) = match parts[..] {
        [latitude, longitude] => (latitude, longitude, None),
        [latitude, longitude, altitude] => (latitude, longitude, Some(number(altitude)?)),
        _ => bail!("a place is latitude,longitude or latitude,longitude,altitude"),
    };
    let (latitude, longitude) = (number(latitude)?, number(longitude)?);
    if latitude.abs() > 90.0 || longitude.abs() > 180.0 {
        bail!("latitude goes from -90 to 90, longitude from -180 to 180");
    }
    Ok(Fix {
        latitude,
        longitude,
        altitude,
        ..Fix::default()
    })
}

impl Source for Location {
    fn measure(&mut self, now: Now) -> Vec<Sample> {
        let (known, mut place) = match self {
            Self::Fixed(place) => (place.at.0 != 0, place.clone()),
            Self::File { path, last } => {
                let line = super::line_of(path);
                let known = line.is_none() || line == *last;
                let place = line.as_deref().map(fix);
                *last = line;
                match place {
                    Some(Ok(place)) => (known, place),
                    Some(Err(error)) if !known => {
                        tracing::warn!(path = %path.display(), %error, "no place can be read");
                        return Vec::new();
                    }
                    Some(Err(_)) | None => return Vec::new(),
                }
            }
        };
        if known {
            return Vec::new();
        }
        place.at = now.wall;
        if let Self::Fixed(fixed) = self {
            fixed.at = now.wall;
        }
        place.samples()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dunlin_client::WallTime;

    fn at(seconds: u64) -> Now {
        Now {
            instant: std::time::Duration::from_secs(seconds),
            wall: WallTime(seconds * 1_000),
        }
    }

    #[test]
    fn a_place_is_told_once_and_a_file_as_often_as_it_changes() {
        let mut fixed = Location::parse("52.5, 13.4,34").unwrap();
        assert_eq!(fixed.measure(at(5)).len(), 7);
        assert_eq!(fixed.measure(at(6)), []);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("place");
        let mut file = Location::parse(path.to_str().unwrap()).unwrap();
        assert_eq!(file.measure(at(1)), []);
        std::fs::write(&path, "1.5,2.5\n").unwrap();
        assert!(
            file.measure(at(2))
                .contains(&Sample::single([6, 0, 0], 1.5.into()))
        );
        assert_eq!(file.measure(at(3)), []);
        std::fs::write(&path, "1.5,2.6\n").unwrap();
        let samples = file.measure(at(4));
        assert!(samples.contains(&Sample::single([6, 0, 5], dunlin_lwm2m::Value::Time(4))));
        std::fs::write(&path, "nowhere, really").unwrap();
        assert_eq!(file.measure(at(5)), []);
    }

    #[test]
    fn what_is_no_place_is_said() {
        for text in [
            "1,2,3,4", "a,b", "91,0", "0,181", "NaN,0", "0,inf", ",", "1,",
        ] {
            assert!(Location::parse(text).is_err(), "{text}");
        }
    }
}
