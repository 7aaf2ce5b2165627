// The page works without this file; it adds copying, finding, and the address that the page came from.
'use strict';

for (const server of document.querySelectorAll('.server')) {
  server.textContent = location.origin;
}

for (const input of document.querySelectorAll('input[data-filter]')) {
  input.addEventListener('input', () => {
    const word = input.value.trim().toLowerCase();
    for (const item of document.querySelectorAll(input.dataset.filter)) {
      item.hidden = !item.textContent.toLowerCase().includes(word);
    }
  });
}

// Only a secure page, or one of this machine, may write to the clipboard.
for (const button of navigator.clipboard ? document.querySelectorAll('.copy') : []) {
  button.hidden = false;
  button.addEventListener('click', async () => {
    await navigator.clipboard.writeText(button.closest('.curl').querySelector('pre').textContent);
    button.textContent = 'Copied';
    setTimeout(() => { button.textContent = 'Copy'; }, 1500);
  });
}

// On a narrow screen the contents would push the text away.
const contents = document.querySelector('.contents');
const narrow = matchMedia('(max-width: 60rem)');
const fit = () => { contents.open = !narrow.matches; };
narrow.addEventListener('change', fit);
fit();
contents.addEventListener('click', (event) => {
  if (narrow.matches && event.target.closest('a')) contents.open = false;
});

// A link may lead to what a search has hidden.
addEventListener('hashchange', () => {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!target?.closest('[hidden]')) return;
  for (const input of document.querySelectorAll('input[data-filter]')) {
    input.value = '';
    input.dispatchEvent(new Event('input'));
  }
  target.scrollIntoView();
});
