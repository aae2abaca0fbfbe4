//! Repetitions of one figure, and their format: the median, and the range.

use std::fmt;
use std::time::{Duration, Instant};

/// The figures of one measurement, one for each repetition.
#[derive(Debug, Clone, Default)]
pub struct Figures(Vec<f64>);

impl Figures {
    pub fn push(&mut self, figure: f64) {
        self.0.push(figure);
    }

    /// Divides by `other`, repetition by repetition: a disturbance of the machine affects both of a pair.
    pub fn by(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(one, other)| one / other).collect())
    }

    /// Returns the figures in the order in which they were taken.
    pub fn iter(&self) -> impl Iterator<Item = f64> {
        self.0.iter().copied()
    }

    /// Returns the figure that a share of all does not exceed: 0.99 is the 99th of a hundred; without figures, 0.
    pub fn quantile(&self, share: f64) -> f64 {
        let sorted = self.sorted();
        let place = (sorted.len() as f64 * share).ceil() as usize;
        sorted.get(place.clamp(1, sorted.len().max(1)) - 1).copied().unwrap_or_default()
    }

    /// Returns the middle figure, or the mean of the two in the middle; without figures, 0.
    pub fn median(&self) -> f64 {
        let sorted = self.sorted();
        let half = sorted.len() / 2;
        match sorted.len() {
            0 => 0.0,
            count if count % 2 == 1 => sorted[half],
            _ => f64::midpoint(sorted[half - 1], sorted[half]),
        }
    }

    /// Formats the figures with that many decimals.
    pub fn told(&self, decimals: usize) -> Told<'_> {
        Told { figures: self, decimals }
    }

    fn sorted(&self) -> Vec<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted
    }
}

impl FromIterator<f64> for Figures {
    fn from_iter<I: IntoIterator<Item = f64>>(figures: I) -> Self {
        Self(figures.into_iter().collect())
    }
}

/// Displays `MEDIAN (LEAST–MOST)`, or a single figure as it is.
pub struct Told<'a> {
    figures: &'a Figures,
    decimals: usize,
}

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = |figure: f64| grouped(figure, self.decimals);
        write!(f, "{}", told(self.figures.median()))?;
        match self.figures.sorted().as_slice() {
            [least, .., most] => write!(f, " ({}–{})", told(*least), told(*most)),
            _ => Ok(()),
        }
    }
}

/// Formats a figure with a comma before each three digits.
pub fn grouped(figure: f64, decimals: usize) -> String {
    let plain = format!("{figure:.decimals$}");
    let (whole, rest) = plain.split_at(plain.find('.').unwrap_or(plain.len()));
    let mut told = String::new();
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place) % 3 == 0 {
            told.push(',');
        }
        told.push(digit);
    }
    told + rest
}

/// Returns the count per second.
pub fn per_second(count: usize, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}

/// Returns the result of some work, and how long it took.
pub async fn timed<T>(work: impl Future<Output = T>) -> (T, Duration) {
    let begun = Instant::now();
    let outcome = work.await;
    (outcome, begun.elapsed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_told_with_its_spread() {
        for (figures, told) in [
            (&[][..], "0.0"),
            (&[1234.56], "1,234.6"),
            (&[3.0, 1.0, 2.0], "2.0 (1.0–3.0)"),
            (&[1.0, 2.0, 4.0, 1_000_000.0], "3.0 (1.0–1,000,000.0)"),
        ] {
            assert_eq!(Figures(figures.to_vec()).told(1).to_string(), told);
        }
        assert_eq!(grouped(100.0, 0), "100");
    }

    #[test]
    fn a_quantile_is_a_figure_that_was_taken() {
        let figures: Figures = (1..=1000).map(f64::from).collect();
        assert_eq!([0.0, 0.5, 0.99, 1.0].map(|share| figures.quantile(share)), [1.0, 500.0, 990.0, 1000.0]);
        assert_eq!(Figures::default().quantile(0.5), 0.0);
    }

    #[test]
    fn ratios_are_taken_in_pairs() {
        let ratios = Figures(vec![10.0, 30.0]).by(&Figures(vec![5.0, 10.0]));
        assert_eq!(ratios.0, [2.0, 3.0]);
    }
}
