"""The look of the page: a Gradio theme with system fonts, our style sheet and the page's scripts."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

_STATIC = Path(__file__).parent / "static"

COPY_JS = """(text) => {
  const fallback = () => {
    const area = document.createElement('textarea');
    area.value = text; area.style.position = 'fixed'; area.style.opacity = '0';
    document.body.appendChild(area); area.select(); document.execCommand('copy'); area.remove();
  };
  if (!text) return;
  if (navigator.clipboard) navigator.clipboard.writeText(text).catch(fallback); else fallback();
}"""
HIDE_JS = "() => ({ __type__: 'update', visible: false })"
OLD_JS = """() => {
  for (const id of ['eval-result', 'compare-measured', 'sensitive-result', 'words-result'])
    document.querySelector(`#${id} .pp-result`)?.classList.add('pp-old');
}"""
OLD_COMPARED_JS = """() => {
  document.querySelector('#compare-measured .pp-result')?.classList.add('pp-old');
}"""
LINK_JS = f"""(token) => {{
  if (!token) return;
  const url = new URL(window.location.href);
  url.searchParams.set('p', token);
  window.history.replaceState(null, '', url);
  ({COPY_JS})(url.toString());
}}"""
DOWNLOAD_JS = """(payload) => {
  if (!payload) return;
  const file = JSON.parse(payload);
  const link = document.createElement('a');
  const whole = file.base64 === undefined
    ? new Blob([file.text], { type: file.type + ';charset=utf-8' })
    : new Blob([Uint8Array.from(atob(file.base64), (sign) => sign.charCodeAt(0))], { type: file.type });
  link.href = URL.createObjectURL(whole);
  link.download = file.name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}"""


def css() -> str:
    """Return the style sheet of the page."""
    return (_STATIC / "style.css").read_text(encoding="utf-8")


def actions_js() -> str:
    """Return the script that each of our HTML components runs once, when it is mounted."""
    return (_STATIC / "actions.js").read_text(encoding="utf-8")


def pretrain_js() -> str:
    """Return the script of the pictures that hold all their frames, with that of the other components."""
    own = (_STATIC / "pretrain.js").read_text(encoding="utf-8")
    return f"{actions_js()}\n{own}"


def build_theme() -> gr.themes.Base:
    """Return the theme; its subdued greys pass the contrast rules in light and dark."""
    return gr.themes.Default(
        primary_hue=gr.themes.colors.blue,
        neutral_hue=gr.themes.colors.slate,
        font=["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"],
        font_mono=["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace"],
    ).set(
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_300",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_300",
        block_label_text_color="*neutral_700",
        block_label_text_color_dark="*neutral_200",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_hover_dark="*primary_600",
        input_placeholder_color="*neutral_600",
        input_placeholder_color_dark="*neutral_300",
    )
