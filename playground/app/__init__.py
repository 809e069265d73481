"""The app: a page around the engine. It holds no NLP of its own."""

from __future__ import annotations

import socket
from dataclasses import replace

import gradio as gr

from playground.app import theme
from playground.app.api import add_endpoints
from playground.app.markup import esc, notice
from playground.app.page import Page
from playground.app.registry import Registry
from playground.app.session import picker_label, quiet
from playground.app.share import PageState
from playground.app.tabs.classify import ClassifyTab, build_classify
from playground.app.tabs.columns import CompareTab
from playground.app.tabs.compare import build_compare
from playground.app.tabs.evaluate import build_evaluate
from playground.app.tabs.fill import FillTab, build_fill, restored
from playground.app.tabs.learned_words import build_learned_words
from playground.app.tabs.measure import build_measuring
from playground.app.tabs.ner import NerTab, build_ner
from playground.app.tabs.nli import NliTab, build_nli
from playground.app.tabs.pretrain import PretrainTab, build_pretrain
from playground.app.tabs.sensitive import build_sensitivity
from playground.app.tabs.train import build_train
from playground.engine.device import choose_threads
from playground.errors import PlaygroundError, shorten
from playground.settings import Settings

TITLE = "Prompt Playground"
_LAST_PORT = 65_535
_LOADERS = 10  # of the 40 threads in which Gradio runs listeners: they may wait for minutes


def build(registry: Registry) -> gr.Blocks:
    """Return the page, with the default model loaded and the first text scored."""
    settings = registry.settings
    line, sane = registry.status()
    with Page(title=TITLE, analytics_enabled=False, delete_cache=(3600, 3600)) as demo:
        with gr.Row(elem_classes="pp-header"):
            with gr.Column(scale=3, min_width=280):
                gr.HTML(
                    f'<div class="pp-title"><h1>{TITLE}</h1><p>Classify with a sentence that has a '
                    "gap: no training, only a prompt.</p></div>"
                    '<div id="pp-live" role="status" aria-live="polite"></div>'
                )
                status = gr.HTML(_status(line, sane), elem_id="model-status")
            with gr.Column(scale=2, min_width=240):
                model = gr.Dropdown(
                    list(settings.model_choices),
                    value=settings.model,
                    label=picker_label("Model", settings),
                    allow_custom_value=not settings.hosted,
                    elem_id="model",
                )
        # the model that is loaded: what it is chosen for is scored when it is there
        ready = gr.Textbox(settings.model, visible="hidden", elem_id="model-ready", label="Loaded")
        with gr.Tabs(elem_id="tabs") as tabs:
            with gr.Tab("Classify", id="classify"):
                classify = build_classify(registry, model, ready)
            with gr.Tab("Fill", id="fill", render_children=True) as fill_tab:
                fill = build_fill(registry, model, ready, classify, fill_tab)
            with gr.Tab("NER", id="ner", render_children=True):
                ner = build_ner(registry, model, ready, classify)
            with gr.Tab("Compare", id="compare", render_children=True) as compare_tab:
                compare = build_compare(registry, model, classify, tabs, compare_tab)
            with gr.Tab("Eval", id="eval", render_children=True):
                evaluate = build_evaluate(registry, classify, tabs)
                build_sensitivity(registry, classify, evaluate, tabs)
                build_learned_words(registry, classify, evaluate)
                build_measuring(registry, compare, evaluate)  # in the Compare tab
            with gr.Tab("Train", id="train", render_children=True) as train_tab:
                build_train(registry, model, classify, evaluate, compare, tabs, train_tab)
            with gr.Tab("NLI", id="nli", render_children=True):
                nli = build_nli(registry, model, ready, classify)
            with gr.Tab("Pretrain", id="pretrain", render_children=True):
                pretrain = build_pretrain(registry, model, ready, classify)

        def load_model(name: str) -> tuple[str, str]:
            return _status(*registry.status(name)), name

        model.change(
            load_model, model, [status, ready], trigger_mode="always_last", show_progress="minimal",
            concurrency_limit=_LOADERS, api_visibility="private",
        )  # fmt: skip
        _restore_links(
            demo, registry, tabs, model, status, classify, fill, ner, compare, nli, pretrain
        )
        add_endpoints(registry)

        def leave(request: gr.Request) -> None:
            registry.tuned.forget_owner(request.session_hash)

        demo.unload(leave)
    demo.queue(
        max_size=settings.queue_size,
        default_concurrency_limit=settings.concurrency,
        api_open=False,  # no way around the queue
    )
    return demo


def _restore_links(
    demo: gr.Blocks,
    registry: Registry,
    tabs: gr.Tabs,
    model: gr.Dropdown,
    status: gr.HTML,
    classify: ClassifyTab,
    fill: FillTab,
    ner: NerTab,
    compare: CompareTab,
    nli: NliTab,
    pretrain: PretrainTab,
) -> None:
    """Open the state that the address carries; a link that does not open says why."""

    def restore(request: gr.Request):
        token = request.query_params.get("p")
        if not token:
            return {classify.told: gr.skip()}
        try:
            state = PageState.from_token(token)
        except PlaygroundError as error:
            return {classify.told: notice(str(error), error=True)}
        updates = {
            **classify.restored(state.prompt, state.texts),
            **restored(fill, state.sentences),
            **ner.restored(state.ner),
            **compare.restored(state.compared, state.compared_texts),
            **pretrain.restored(state.pretrain, state.model),
        }
        settings = registry.settings
        if not settings.hosted or state.classifier in ("", *settings.nli_model_names):
            updates |= nli.restored(state.pair, state.classifier)
        else:
            updates |= nli.restored(state.pair, "")
        if settings.hosted and state.model not in ("", *settings.model_names):
            updates[status] = _status(*registry.status(state.model))  # it says what is offered
        elif state.model:
            updates[model] = state.model
        return {**updates, tabs: gr.update(selected=state.tab)}

    outputs = [tabs, status, *classify.inputs, classify.told, classify.card, classify.panel]
    outputs += [*fill.sentences, *ner.boxes.values(), *compare.outputs]
    outputs += [*nli.pair, nli.classifier, *pretrain.outputs]
    demo.load(restore, None, outputs, **quiet())


def _status(line: str, sane: bool) -> str:
    return f'<p class="pp-status{"" if sane else " pp-error"}">{esc(line)}</p>'


def launch(
    *,
    host: str | None = None,
    port: int | None = None,
    model: str | None = None,
    share: bool = False,
    open_browser: bool = False,
    wait: bool = True,
) -> gr.Blocks:
    """Start the app and serve it until it is stopped; ``wait=False`` returns at once.

    Raises PlaygroundError if the model cannot be loaded.
    """
    settings = Settings.from_environment()
    if model:
        settings = settings.with_model(model)
    choose_threads(settings)
    address = host or settings.host
    # a link that Gradio shares reaches this machine from anywhere, whatever the address
    strangers = {"host": "0.0.0.0", "hosted": True} if share else {"host": address}
    registry = Registry(replace(settings, **strangers))
    demo = build(registry)
    demo.launch(
        server_name=address,
        server_port=free_port(address, port or settings.port),
        share=share,
        inbrowser=open_browser,
        show_error=False,
        run_history=False,
        ssr_mode=False,
        max_file_size="1mb",
        footer_links=["api"],
        theme=theme.build_theme(),
        css=theme.css(),
        prevent_thread_lock=not wait,
    )
    return demo


def free_port(host: str, first: int) -> int:
    """Return ``first``, or the next port up that nothing listens on; PlaygroundError after 20."""
    if not 1 <= first <= _LAST_PORT:
        raise PlaygroundError(f"The port is {first}; it must be from 1 to {_LAST_PORT}.")
    last = min(first + 19, _LAST_PORT)
    for port in range(first, last + 1):
        try:
            with socket.create_server((host, port)):
                return port
        except OSError as error:
            reason, _, _ = str(error.strerror).partition(" (while")
    raise PlaygroundError(
        f"The app cannot listen on {shorten(host)} at ports {first} to {last} ({reason}); "
        "choose others with --host and --port."
    )
