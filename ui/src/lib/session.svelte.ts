// The token, when the server wants one. Kept for this browser session, or longer if the person asks for that.
const key = 'dunlin.token';

class Session {
  token = $state(sessionStorage.getItem(key) ?? localStorage.getItem(key) ?? '');
  /** The server answered 401: the prompt is shown. */
  wanted = $state(false);
  /** Counts the tokens given, so that pages ask again with the new one. */
  turn = $state(0);

  refused() {
    this.wanted = true;
  }

  give(token: string, remember: boolean) {
    this.forget();
    (remember ? localStorage : sessionStorage).setItem(key, token);
    this.token = token;
    this.wanted = false;
    this.turn++;
  }

  forget() {
    sessionStorage.removeItem(key);
    localStorage.removeItem(key);
    this.token = '';
  }
}

export const session = new Session();
