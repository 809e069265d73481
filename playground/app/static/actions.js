// Runs once in each of our HTML components: buttons report themselves, results are read out.
element.addEventListener('click', (event) => {
  const button = event.target.closest('[data-act]');
  if (button) trigger('click', { act: button.dataset.act, arg: button.dataset.arg });
});
element.addEventListener('change', async (event) => {
  const input = event.target.closest('input[type=file]');
  if (!input || !input.files.length) return;
  const file = input.files[0];
  const most = Number(input.dataset.most || 1048576);
  if (input.dataset.binary !== undefined) {
    input.value = '';
    if (file.size > most) { trigger('click', { act: 'large', arg: String(file.size) }); return; }
    const reader = new FileReader();
    reader.onload = () => trigger('click', { act: 'open', arg: reader.result.slice(reader.result.indexOf(',') + 1) });
    reader.readAsDataURL(file);
    return;
  }
  const text = file.size > most ? ' '.repeat(most + 1) : await file.text();
  input.value = '';
  trigger('click', { act: 'open', arg: text });
});
let timer = null;
watch('value', () => {
  clearTimeout(timer);
  timer = setTimeout(() => {
    const result = element.querySelector('[data-summary]');
    const region = document.getElementById('pp-live');
    if (result && region) region.textContent = result.dataset.summary;
  }, 1000);
});
