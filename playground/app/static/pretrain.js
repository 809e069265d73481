// Runs once in the two pictures of the Pretrain tab: all frames are on the page, it moves between them.
const part = element.closest('#pretrain-lapse, #pretrain-inside');
const find = (selector) => part ? part.querySelector(selector) : null;
const findAll = (selector) => part ? [...part.querySelectorAll(selector)] : [];

// ---- through training
let at = null, playing = null;
const rows = () => findAll('[data-frames] tr[data-frame]');
const show = (number) => {
  const all = rows(), row = all[number];
  if (!row) return;
  at = number;
  all.forEach((one, k) => one.classList.toggle('pp-now', k === number));
  const cells = [...row.querySelectorAll('td[data-token]')];
  findAll('[data-bars] .pp-bar').forEach((bar, k) => {
    const cell = cells[k];
    bar.style.visibility = cell ? 'visible' : 'hidden';
    if (!cell) return;
    const name = bar.querySelector('.pp-name');
    name.textContent = name.title = cell.dataset.token;
    bar.querySelector('.pp-fill').style.width = `${100 * Number(cell.dataset.share)}%`;
    bar.querySelector('.pp-number').textContent = cell.dataset.said;
  });
  find('[data-when]').textContent = row.dataset.told;
  const slide = find('[data-slide]'), line = find('[data-here]'), dot = find('[data-dot]');
  slide.value = number;
  slide.setAttribute('aria-valuetext', row.dataset.told);
  line.setAttribute('x1', row.dataset.x);
  line.setAttribute('x2', row.dataset.x);
  dot.setAttribute('cx', row.dataset.x);
  dot.setAttribute('cy', row.dataset.y);
};
const stop = () => {
  clearInterval(playing);
  playing = null;
  const button = find('[data-play]');
  if (button) button.textContent = '▶ Play';
};
const play = () => {
  const last = rows().length - 1;
  show(at === null || at >= last ? 0 : at + 1);
  find('[data-play]').textContent = '⏸ Pause';
  playing = setInterval(() => {
    if (at >= rows().length - 1 || !part.isConnected) stop(); else show(at + 1);
  }, 900);
};

// ---- attention
let pinned = null, tokens = 0;
const look = (number) => {
  const froms = findAll('[data-look]'), from = froms[number];
  if (!from) return;
  froms.forEach((one, k) => one.setAttribute('aria-pressed', String(k === number)));
  findAll('.pp-attention line').forEach((line) => line.classList.toggle('pp-on', Number(line.dataset.from) === number));
  const weights = from.dataset.weights.split(' ').map(Number);
  const said = (share) => share >= 0.001 ? `${(100 * share).toFixed(1)} %` : '< 0.1 %';
  findAll('.pp-to').forEach((to, k) => {
    to.style.setProperty('--pp-share', weights[k]);
    to.lastElementChild.textContent = said(weights[k]);
  });
  const best = weights.map((share, k) => [share, k]).sort((a, b) => b[0] - a[0]).slice(0, 3);
  find('[data-looks]').textContent = `${from.textContent} looks at ` +
    best.map(([share, k]) => `${froms[k].textContent} ${said(share)}`).join(', ');
};

const reveal = () => {
  const box = find('.pp-attention'), from = find('[data-look][aria-pressed=true]');
  if (box && from) box.scrollTop = from.offsetTop - box.offsetTop - box.clientHeight / 2;
};
reveal();

const own = (event, selector) => event.target instanceof Element ? event.target.closest(selector) : null;
part?.addEventListener('click', (event) => {
  const go = own(event, '[data-go]'), from = own(event, '[data-look]');
  if (own(event, '[data-play]')) { if (playing) stop(); else play(); }
  if (go) { stop(); show(Number(go.dataset.go)); }
  if (from) { pinned = Number(from.dataset.look); tokens = findAll('[data-look]').length; look(pinned); }
});
part?.addEventListener('input', (event) => {
  const slide = own(event, '[data-slide]');
  if (slide) { stop(); show(Number(slide.value)); }
});
part?.addEventListener('pointerover', (event) => {
  const from = own(event, '[data-look]');
  if (from && event.pointerType === 'mouse') look(Number(from.dataset.look));
});
part?.addEventListener('focusin', (event) => {
  const from = own(event, '[data-look]');
  if (from) look(Number(from.dataset.look));
});
element.addEventListener('pointerleave', () => { if (pinned !== null) look(pinned); });
// a new sentence keeps the checkpoint, a new head keeps the token
watch('value', () => setTimeout(() => {
  if (at !== null && at < rows().length - 1) show(at); else stop();
  if (findAll('[data-look]').length !== tokens) pinned = null;
  if (pinned !== null) look(pinned);
  reveal();
}, 60));
