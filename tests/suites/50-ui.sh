# The UI: the committed files are what the sources make, and a real browser goes through everything.
ui() {
  command -v node >/dev/null && command -v npm >/dev/null || { skip "no Node here; wants Node 20.19 or later"; return 77; }
  node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)' ||
    { skip "Node $(node --version) is too old; wants 20.19 or later"; return 77; }
  (
    cd "$root/ui" &&
      npm ci --no-audit --no-fund --silent &&
      npm run --silent check &&
      npm run --silent build -- --logLevel error
  ) || return 1
  git -C "$root" diff --exit-code --stat -- crates/dunlin-api/assets ||
    { echo "the committed UI differs from what ui/ builds: commit crates/dunlin-api/assets" >&2; return 1; }
  if [ -z "${CHROMIUM:-}" ] && [ ! -x /usr/bin/chromium ]; then apt_install chromium || return 77; fi
  SHOTS="$work/ui" npm --prefix "$root/ui" test --silent
}
suite ui 300 ui "standard long full"
