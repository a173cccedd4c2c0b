//! Effects that have grown only so far.

use crate::faults::{RequestEffect, ResponseEffect};
use crate::units::ByteRate;

/// The effect with its delay and the slowness of its body at this strength, from 0 (none) to 1 (as it is).
pub(super) fn of_request(mut effect: RequestEffect, strength: f64) -> RequestEffect {
    if strength < 1.0 {
        effect.delay = effect.delay.mul_f64(strength.max(0.0));
        effect.body.rate = effect.body.rate.and_then(|rate| ByteRate::new(rate.per_second() / strength));
    }
    effect
}

/// The effect with its delay and the slowness of its body at this strength: at half of it a body comes twice as fast.
pub(super) fn of_response(mut effect: ResponseEffect, strength: f64) -> ResponseEffect {
    if strength < 1.0 {
        effect.delay = effect.delay.mul_f64(strength.max(0.0));
        // At strength 0 there is no rate at all.
        effect.body.rate = effect.body.rate.and_then(|rate| ByteRate::new(rate.per_second() / strength));
    }
    effect
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::faults::BodyEffect;

    #[test]
    fn half_the_strength_is_half_the_delay_and_twice_the_rate() {
        let body = BodyEffect { rate: ByteRate::new(1_000.0), ..BodyEffect::default() };
        let effect =
            || ResponseEffect { delay: Duration::from_millis(80), body: body.clone(), ..ResponseEffect::default() };
        let half = of_response(effect(), 0.5);
        assert_eq!((half.delay, half.body.rate), (Duration::from_millis(40), ByteRate::new(2_000.0)));
        assert_eq!(of_response(effect(), 1.0), effect());
        let none = of_response(effect(), 0.0);
        assert_eq!((none.delay, none.body.rate), (Duration::ZERO, None));
        let request = RequestEffect { delay: Duration::from_millis(80), ..RequestEffect::default() };
        assert_eq!(of_request(request, 0.25).delay, Duration::from_millis(20));
    }
}
