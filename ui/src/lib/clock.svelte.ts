// The time all ages and countdowns are told from: the server's, ticking once a second while somebody looks.

/** A smaller difference is the way of the answer, not a wrong clock. */
const SKEW_MIN_MS = 2500;

class Clock {
  now = $state(Date.now());
  #skew = 0;

  constructor() {
    const tick = () => {
      if (!document.hidden) this.now = Date.now() + this.#skew;
    };
    setInterval(tick, 1000);
    document.addEventListener('visibilitychange', tick);
  }

  /** Takes the `Date` of an answer: the browser's own clock may be wrong. */
  adjust(date: string | null) {
    const theirs = date ? Date.parse(date) : NaN;
    if (Number.isNaN(theirs)) return;
    const skew = theirs - Date.now();
    this.#skew = Math.abs(skew) < SKEW_MIN_MS ? 0 : skew;
  }

  /** The present moment, finer than the tick. */
  read(): number {
    return Date.now() + this.#skew;
  }
}

export const clock = new Clock();
