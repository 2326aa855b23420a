// The steps of run.mjs, in order. Each starts where it likes; none waits for a fixed time where it can wait for a sign.
// Against a real server the steps find their own Clients: one that is awake with a temperature, one that sleeps.

const api = async ({ base }, path, init = {}) => {
  const response = await fetch(`${base}/api/v1/${path}`, { ...init, headers: { 'content-type': 'application/json' } });
  return response.json();
};
const all = async (t) => (await api(t, 'clients')).clients;
const encode = (name) => (name.includes('/') ? '~' + Buffer.from(name).toString('base64url') : encodeURIComponent(name));
const awakeWith = async (t, object, more = () => true) => (await all(t)).find((c) => c.presence === 'awake' && !c.queue && c.objects[object] && more(c));
const open = async ({ page, base }, hash) => {
  // A change of the hash alone would not load the page anew.
  await page.goto('about:blank');
  await page.goto(`${base}/${hash}`);
  await page.waitForSelector('main h1');
};
const row = (page, path) => page.locator(`li[data-path="${path}"]`);
/** In the narrow view the buttons are inside the opened row. */
const press = async ({ page, narrow }, path, label) => {
  const at = row(page, path);
  if (narrow) {
    const toggle = at.locator('.toggle');
    if ((await toggle.getAttribute('aria-expanded')) !== 'true') await toggle.click();
    // Writing and executing are forms there, open already.
    if (label !== 'Write' && label !== 'Execute') await at.locator('.narrow').getByRole('button', { name: new RegExp(`^${label}`) }).click();
  } else {
    await at.locator('.actions').getByRole('button', { name: new RegExp(`^${label}`) }).click();
  }
};

export const steps = {
  'list shows all Clients with their presence': async (t) => {
    await open(t, '#/clients');
    const clients = await all(t);
    t.assert.ok(clients.length >= 5, 'five Clients');
    for (const c of clients) await t.page.locator(`tr[data-endpoint="${c.endpoint.replaceAll('"', '\\"')}"]`).waitFor();
    t.assert.equal(await t.page.locator('header .status.live').count(), 1, 'the stream is live');
    await t.fits();
    await t.shot('list');
  },

  'search finds by name and says when nothing matches': async (t) => {
    await open(t, '#/clients');
    const [first] = await all(t);
    await t.page.getByRole('searchbox').fill(first.endpoint.slice(0, 6));
    await t.page.locator(`tr[data-endpoint="${first.endpoint}"]`).waitFor();
    await t.page.getByRole('searchbox').fill('zz-no-such');
    await t.page.getByText('No Client matches').waitFor();
    await t.shot('search-nothing');
    await t.page.getByRole('button', { name: 'Clear the search' }).click();
    await t.page.locator(`tr[data-endpoint="${first.endpoint}"]`).waitFor();
  },

  'client page reads a whole instance': async (t) => {
    const c = await awakeWith(t, 3);
    await open(t, `#/clients/${encode(c.endpoint)}/3/0`);
    await t.page.getByRole('button', { name: 'Read all' }).click();
    const value = row(t.page, '/3/0/0').locator('.value b');
    await value.waitFor();
    t.assert.notEqual((await value.textContent()).trim(), '');
    await t.page.getByText('Manufacturer').first().waitFor();
    await t.fits();
    await t.shot('device');
  },

  'an endpoint name with a slash is reachable': async (t) => {
    if (t.real) return;
    await open(t, `#/clients/${encode('haus 7/heizung')}/3303/0`);
    await t.page.getByRole('heading', { name: 'haus 7/heizung' }).waitFor();
    await press(t, '/3303/0/5700', 'Read');
    await row(t.page, '/3303/0/5700').locator('.value b').waitFor();
  },

  'a read of one resource shows value, unit and age': async (t) => {
    const c = await awakeWith(t, 3303);
    await open(t, `#/clients/${encode(c.endpoint)}/3303/0`);
    // The definition of a sensor may leave the unit to its Sensor Units, so that is read too.
    await t.page.getByRole('button', { name: 'Read all' }).click();
    await row(t.page, '/3303/0/5701').locator('.value b').waitFor();
    await press(t, '/3303/0/5700', 'Read');
    const r = row(t.page, '/3303/0/5700');
    await r.locator('.value b').waitFor();
    t.assert.match(await r.locator('.value').innerText(), /[−\d.]+\s*°C/);
    t.assert.match(await r.locator('.age').innerText(), /now|ago/);
  },

  'a write goes through its typed editor and is read back': async (t) => {
    const c = await awakeWith(t, 1);
    await open(t, `#/clients/${encode(c.endpoint)}/1/0`);
    await press(t, '/1/0/3', 'Write');
    const r = row(t.page, '/1/0/3');
    const field = r.locator('form input').first();
    await field.fill('not a number');
    t.assert.ok(await r.getByRole('button', { name: 'Write', exact: true }).last().isDisabled(), 'nonsense cannot be sent');
    await r.getByText('A whole number').waitFor();
    await t.shot('write-invalid');
    await field.fill('77');
    await field.press('Enter');
    await r.getByText(/Written \(2\.04\)/).waitFor();
    t.assert.match(await r.locator('.value').innerText(), /77/);
    const said = await api(t, `clients/${encode(c.endpoint)}/1/0/3`);
    t.assert.equal(said.node.value, 77, 'the Client holds it');
    await t.fits();
    await t.shot('written');
  },

  'a boolean is written with a switch': async (t) => {
    const c = await awakeWith(t, 1);
    await open(t, `#/clients/${encode(c.endpoint)}/1/0`);
    await press(t, '/1/0/6', 'Read');
    const r = row(t.page, '/1/0/6');
    await r.locator('.truth').waitFor();
    const before = (await r.locator('.truth').innerText()).trim();
    const wanted = before === 'true' ? 'false' : 'true';
    await press(t, '/1/0/6', 'Write');
    await r.locator('label', { hasText: wanted }).click();
    t.assert.ok(await r.getByRole('radio', { name: wanted }).isChecked());
    await r.getByRole('button', { name: 'Write', exact: true }).last().click();
    await r.getByText(/Written/).waitFor();
    await r.locator('.truth', { hasText: wanted }).waitFor();
  },

  'execute asks for arguments and says how it ended': async (t) => {
    const c = await awakeWith(t, 1);
    await open(t, `#/clients/${encode(c.endpoint)}/1/0`);
    await press(t, '/1/0/8', 'Execute');
    const r = row(t.page, '/1/0/8');
    await r.getByLabel(/Arguments/).waitFor();
    await r.locator('form').getByRole('button', { name: 'Execute' }).click();
    await r.getByText(/Executed \(2\.04\)/).waitFor();
    await t.shot('executed');
  },

  'observe is switched on, values come by themselves, a chart grows': async (t) => {
    const c = await awakeWith(t, 3303);
    await open(t, `#/clients/${encode(c.endpoint)}/3303/0`);
    const r = row(t.page, '/3303/0/5700');
    await r.waitFor();
    await t.page.waitForTimeout(400);
    if ((await r.locator('.eye').count()) === 0) await press(t, '/3303/0/5700', 'Observe');
    await r.locator('.eye').waitFor();
    const first = await r.locator('.value').innerText().catch(() => '');
    await t.page.waitForFunction(([path, old]) => { const v = document.querySelector(`li[data-path="${path}"] .value`)?.innerText; return v && v !== old && v !== '–'; }, ['/3303/0/5700', first], { timeout: 30000 });
    if ((await r.locator('.toggle').getAttribute('aria-expanded')) !== 'true') await r.locator('.toggle').click();
    await r.locator('canvas').waitFor({ timeout: 30000 });
    await t.page.waitForTimeout(4000);
    await t.fits();
    await t.shot('observed');
  },

  'attributes are written and discovered': async (t) => {
    const c = await awakeWith(t, 3303);
    await open(t, `#/clients/${encode(c.endpoint)}/3303/0/5700`);
    const r = row(t.page, '/3303/0/5700');
    await r.getByText('Notification attributes').click();
    await r.getByLabel(/pmin/).fill('1');
    await r.getByLabel(/pmax/).fill('30');
    await r.getByRole('button', { name: 'Set attributes' }).click();
    await r.getByText(/Attributes set/).waitFor();
    await r.getByRole('button', { name: 'Discover' }).click();
    await r.getByLabel('Discovered links').getByText(/pmax=30/).waitFor();
    await t.fits();
    await t.shot('attributes');
  },

  'an error of the Client stands where it occurred, with its code': async (t) => {
    if (t.real) return;
    const c = await awakeWith(t, 3311);
    await open(t, `#/clients/${encode(c.endpoint)}/3311/0`);
    await press(t, '/3311/0/5851', 'Write');
    const r = row(t.page, '/3311/0/5851');
    await r.locator('form input').first().fill('400');
    await r.getByText(/definition allows/).waitFor();
    await r.locator('form input').first().press('Enter');
    await r.getByRole('alert').getByText('4.00 · client_bad_request').waitFor();
    await t.shot('error');
  },

  'opaque, object link and multiple resources have their editors': async (t) => {
    if (t.real) return;
    const c = await awakeWith(t, 10250);
    await open(t, `#/clients/${encode(c.endpoint)}/10250/0`);
    await t.page.getByRole('button', { name: 'Read all' }).click();
    await row(t.page, '/10250/0/0').getByText('32 bytes').waitFor();
    await press(t, '/10250/0/1', 'Write');
    await row(t.page, '/10250/0/1').locator('textarea').fill('0a 0b ff');
    await row(t.page, '/10250/0/1').getByText('3 bytes').waitFor();
    await press(t, '/10250/0/2', 'Write');
    await press(t, '/10250/0/3', 'Write');
    await row(t.page, '/10250/0/3').getByRole('button', { name: 'Add an instance' }).click();
    await t.fits();
    await t.shot('editors');
  },

  'an instance is created and deleted': async (t) => {
    if (t.real) return;
    const c = await awakeWith(t, 3311);
    await open(t, `#/clients/${encode(c.endpoint)}/3311/0`);
    await t.page.getByRole('button', { name: 'New instance' }).click();
    await t.page.getByLabel('Instance ID').fill('9');
    await t.shot('create');
    await t.page.getByRole('button', { name: 'Create', exact: true }).click();
    await t.page.locator('section[data-instance="/3311/9"]').waitFor();
    await t.page.getByRole('button', { name: 'Delete', exact: true }).click();
    await t.page.getByRole('button', { name: 'Delete /3311/9' }).click();
    await t.page.waitForFunction(() => !location.hash.includes('3311/9'));
    const now = await api(t, `clients/${encode(c.endpoint)}`);
    t.assert.deepEqual(now.objects['3311'].instances, [0, 1]);
  },

  'a downlink to a sleeping Client waits, is listed, and its outcome arrives': async (t) => {
    const sleeper = (await all(t)).find((c) => c.queue);
    t.assert.ok(sleeper, 'a Client with queue mode');
    const ep = encode(sleeper.endpoint);
    // From the beginning of its sleep, so that it lasts for all that follows.
    for (const wanted of ['awake', 'asleep']) {
      for (let i = 0; (await api(t, `clients/${ep}`)).presence !== wanted; i++) {
        t.assert.ok(i < 600, `${sleeper.endpoint} is never ${wanted}`);
        await t.page.waitForTimeout(200);
      }
    }
    await open(t, `#/clients/${ep}/3/0`);
    await t.page.getByText('Asleep, as it said.').waitFor({ timeout: 90000 });
    await press(t, '/3/0/0', 'Read');
    const r = row(t.page, '/3/0/0');
    await r.locator('[data-request="queued"]').waitFor();
    await press(t, '/3/0/1', 'Read');
    await row(t.page, '/3/0/1').locator('[data-request="queued"]').waitFor();
    await t.fits();
    await t.shot('asleep-waiting');
    await t.page.goto(`${t.base}/#/requests`);
    const waiting = t.page.getByLabel('On the way').locator('li', { hasText: sleeper.endpoint });
    await waiting.nth(1).waitFor();
    await t.shot('requests-waiting');
    await waiting.filter({ hasText: '/3/0/1' }).first().getByRole('button', { name: 'Cancel' }).click();
    await t.page.getByLabel('Ended').locator('[data-state="cancelled"]').first().waitFor();
    await t.page.goto(`${t.base}/#/clients/${ep}/3/0`);
    await r.locator('[data-request="completed"]').waitFor({ timeout: 90000 });
    await r.locator('.value b').first().waitFor();
    await t.shot('asleep-outcome');
    if (t.narrow) {
      for (const tab of ['Registration', 'Requests', 'Events']) {
        await t.page.getByLabel('Parts of this page').getByRole('button', { name: tab }).click();
        await t.fits();
        await t.shot(`tab-${tab.toLowerCase()}`);
      }
    }
  },

  'overdue is told without red': async (t) => {
    const c = (await all(t)).find((x) => x.presence === 'overdue');
    if (!c) return;
    await open(t, `#/clients/${encode(c.endpoint)}`);
    await t.page.getByText('Overdue.').waitFor();
    await t.shot('overdue');
  },

  'a Client over its budget is named in the list and on its page': async (t) => {
    const c = (await all(t)).find((x) => x.over_budget);
    if (!c) return;
    await open(t, '#/clients');
    await t.page.locator(`tr[data-endpoint="${c.endpoint}"]`).getByText('over its budget').waitFor();
    await open(t, `#/clients/${encode(c.endpoint)}`);
    await t.page.getByText('Over its budget.').waitFor();
    await t.fits();
    await t.shot('over-budget');
  },

  'deviations are shown with the registration': async (t) => {
    const c = (await all(t)).find((x) => x.deviations?.length);
    if (!c) return;
    await open(t, `#/clients/${encode(c.endpoint)}`);
    if (t.narrow) await t.page.getByLabel('Parts of this page').getByRole('button', { name: /Registration/ }).click();
    await t.page.getByText('Deviations tolerated').waitFor();
    await t.shot('deviations');
  },

  'the feed filters by type and Client, pauses, and uses words': async (t) => {
    await open(t, '#/events');
    const list = t.page.getByLabel('Events, newest first');
    await list.locator('li').nth(3).waitFor({ timeout: 30000 });
    await t.fits();
    await t.shot('events');
    await t.page.getByRole('button', { name: 'notified' }).click();
    await list.locator('li[data-type="notified"]').first().waitFor({ timeout: 30000 });
    t.assert.equal(await list.locator('li:not([data-type="notified"])').count(), 0);
    const who = (await list.locator('.who').first().innerText()).trim();
    await t.page.getByRole('searchbox').fill(who);
    await t.page.waitForFunction((name) => [...document.querySelectorAll('.who')].every((n) => n.textContent.trim() === name), who);
    t.assert.match(t.page.url(), /types=notified/);
    await t.page.getByRole('searchbox').fill('');
    await t.page.getByRole('button', { name: 'Pause' }).click();
    const count = await list.locator('li').count();
    await t.page.getByRole('button', { name: /new\)/ }).waitFor({ timeout: 30000 });
    t.assert.equal(await list.locator('li').count(), count, 'a paused feed stands still');
    await t.shot('events-paused');
  },

  'the log gives back what was before': async (t) => {
    await open(t, '#/events');
    await t.page.getByRole('button', { name: 'registered', exact: true }).click();
    await t.page.getByRole('button', { name: 'Earlier events from the log' }).click();
    await t.page.getByLabel('Events, newest first').locator('li[data-type="registered"]').nth(4).waitFor();
    const c = await awakeWith(t, 3303, (x) => x.endpoint !== 'haus 7/heizung');
    await open(t, `#/clients/${encode(c.endpoint)}/3303/0/5700`);
    const r = row(t.page, '/3303/0/5700');
    await r.getByRole('button', { name: 'Earlier values' }).click();
    await t.page.waitForFunction(() => Number(document.querySelector('figcaption')?.textContent.match(/(\d+) values/)?.[1]) > 5);
    await t.page.waitForTimeout(400);
    await t.shot('history');
  },

  'a lost connection is told, and resumed without a gap': async (t) => {
    if (t.real) return;
    await open(t, '#/clients');
    await t.page.locator('tbody tr').first().waitFor();
    await t.stopMock();
    await t.page.getByText('The connection to the server is lost.').waitFor({ timeout: 15000 });
    t.assert.ok((await t.page.locator('tbody tr').count()) >= 5, 'what was known stays visible');
    await t.fits();
    await t.shot('lost');
    await t.startMock();
    await t.page.getByText(/Connected again after/).waitFor({ timeout: 30000 });
    await t.shot('back');
  },

  'who may connect is listed, let in and removed; a key is never shown again': async (t) => {
    await open(t, '#/security');
    await t.page.getByRole('heading', { level: 1, name: 'Security' }).waitFor();
    await t.page.getByLabel('Who may connect').locator('li, .none').first().waitFor();
    await t.fits();
    await t.shot('security');
    const name = `walk-${t.name ?? ''}${Date.now() % 100000}`;
    await t.page.getByRole('button', { name: 'Let a Client in' }).click();
    await t.page.getByLabel('Endpoint name', { exact: true }).fill(name);
    await t.page.getByRole('button', { name: 'Make one' }).click();
    const key = await t.page.getByLabel('Key, hexadecimal or base64').inputValue();
    t.assert.match(key, /^[0-9a-f]{32}$/);
    await t.fits();
    await t.shot('security-add');
    await t.page.getByRole('button', { name: 'Add', exact: true }).click();
    const own = t.page.locator(`li[data-credential^="${name} "]`);
    await own.waitFor();
    t.assert.ok(!(await t.page.content()).includes(key), 'the key is gone from the page');
    await own.getByRole('button', { name: 'Remove…' }).click();
    await t.shot('security-remove');
    await own.getByRole('button', { name: 'Remove it' }).click();
    await own.waitFor({ state: 'detached' });
  },

  'a profile is checked, added, tried out, changed and removed': async (t) => {
    await open(t, '#/security');
    const name = `walk-${Date.now() % 100000}`;
    await t.page.getByRole('button', { name: 'New profile' }).click();
    await t.page.getByLabel('Name', { exact: true }).fill(name);
    await t.page.getByLabel('It is for').selectOption('endpoint');
    await t.page.getByLabel('Endpoint name', { exact: true }).fill(`${name}-lamp`);
    await t.page.getByLabel('URI', { exact: true }).fill('http://wrong.example');
    await t.page.getByRole('button', { name: 'Check only' }).click();
    await t.page.getByText('Not put').waitFor();
    await t.page.getByLabel('URI', { exact: true }).fill('coaps://127.0.0.1:5684');
    await t.page.getByRole('button', { name: 'Check only' }).click();
    await t.page.getByText('nothing was changed').waitFor();
    t.assert.equal(await t.page.locator(`li[data-profile="${name}"]`).count(), 0, 'a check adds nothing');
    await t.fits();
    await t.shot('profile-form');
    await t.page.getByRole('button', { name: 'Add it' }).click();
    const own = t.page.locator(`li[data-profile="${name}"]`);
    await own.getByRole('button', { name: 'Dry run…' }).click();
    const steps = own.getByLabel('Steps');
    await steps.getByText('16 secret bytes').waitFor();
    await steps.getByText(new RegExp(`^${name}-lamp`)).first().waitFor();
    await t.fits();
    await t.shot('profile-plan');
    await own.getByRole('button', { name: 'Change…' }).click();
    await t.page.getByRole('button', { name: 'As JSON' }).click();
    t.assert.match(await t.page.getByLabel('What it says, as JSON').inputValue(), /coaps:\/\/127/);
    await t.shot('profile-json');
    await t.page.getByRole('button', { name: 'As fields' }).click();
    await t.page.getByLabel('Lifetime, s').fill('300');
    await t.page.getByRole('button', { name: 'Put it in place' }).click();
    await t.page.getByLabel('Bootstrap profile', { exact: true }).waitFor({ state: 'detached' });
    await own.getByRole('button', { name: 'Remove…' }).click();
    await t.shot('profile-remove');
    await own.getByRole('button', { name: 'Remove it' }).click();
    await own.waitFor({ state: 'detached' });
  },

  'someone who knocked is let in with one click, and runs open to their steps': async (t) => {
    if (t.real) return;
    await open(t, '#/security');
    await t.page.getByRole('button', { name: 'Let it in…' }).first().click({ timeout: 90000 });
    await t.page.getByLabel('It proves itself by').waitFor();
    t.assert.equal(await t.page.getByLabel('It proves itself by').inputValue(), 'rpk');
    t.assert.match(await t.page.getByLabel(/Public key/).inputValue(), /^sha256:/);
    await t.shot('security-knock');
    await t.page.getByRole('button', { name: 'Close' }).click();
    await t.page.locator('li[data-run="failed"] summary').click();
    await t.page.getByText('4.06', { exact: true }).waitFor();
    await t.fits();
    await t.shot('security-runs');
  },

  'the theme is switched by hand and kept': async (t) => {
    await open(t, '#/clients');
    const background = () => t.page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const colours = new Set([await background()]);
    for (let i = 0; i < 2; i++) {
      await t.page.getByRole('button', { name: /Colours/ }).click();
      colours.add(await background());
    }
    t.assert.equal(colours.size, 2, 'light and dark differ');
    await t.page.reload();
    await t.page.getByRole('button', { name: /Colours: dark/ }).waitFor();
    await t.page.getByRole('button', { name: /Colours/ }).click();
  },

  'the keyboard alone opens a Client and a row': async (t) => {
    if (t.narrow) return;
    const c = await awakeWith(t, 3);
    await open(t, '#/clients');
    const link = t.page.locator(`tr[data-endpoint="${c.endpoint}"] a`);
    await link.focus();
    await t.page.keyboard.press('Enter');
    await t.page.getByRole('heading', { level: 1, name: c.endpoint }).waitFor();
    const toggle = t.page.locator('li[data-path] .toggle').first();
    await toggle.focus();
    await t.page.keyboard.press('Enter');
    t.assert.equal(await toggle.getAttribute('aria-expanded'), 'true');
  },

  'nobody there: the newcomer is told what to type': async (t) => {
    if (t.real) return;
    await t.stopMock();
    await t.startMock('--clients', '0');
    await open(t, '#/clients');
    await t.page.getByText('dunlin client --server coap://127.0.0.1:5683 --endpoint NAME').waitFor();
    await t.fits();
    await t.shot('empty');
  },

  'a token is asked for, a wrong one refused, the right one kept': async (t) => {
    if (t.real) return;
    await t.stopMock();
    await t.startMock('--token', 'secret-7');
    await open(t, '#/clients');
    await t.page.getByRole('heading', { name: 'This server asks for a token' }).waitFor();
    await t.shot('token');
    await t.page.getByLabel('Token', { exact: true }).fill('wrong');
    await t.page.keyboard.press('Enter');
    await t.page.getByRole('heading', { name: 'The server does not take this token' }).waitFor();
    await t.page.getByLabel('Token', { exact: true }).fill('secret-7');
    await t.page.keyboard.press('Enter');
    await t.page.locator('tbody tr').nth(4).waitFor();
    await t.page.locator('header .status.live').waitFor();
  },
};
