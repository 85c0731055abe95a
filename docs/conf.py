"""Sphinx's settings. tools/site.py copies this folder, adds what is generated, and builds there."""
import re
import sys
from pathlib import Path

import fastnn

HERE = Path(__file__).parent
project, author, release = "fastnn", "the fastnn developers", fastnn.__version__
project_copyright = "2026, the fastnn developers"
version = release

extensions = ["sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.doctest", "numpydoc", "myst_parser",
              "sphinx_gallery.gen_gallery"]
source_suffix = {".rst": "restructuredtext", ".md": "markdown"}
exclude_patterns = ["examples"]
templates_path = ["_templates"]
nitpicky = False
default_role = "code"               # `name` in docstrings
# sphinx-gallery's settings hold functions; two classes are called Activation, and annotations have no module
suppress_warnings = ["config.cache", "ref.python"]

myst_heading_anchors = 3
myst_links_external_new_tab = False
# What a docstring says is plain text, with code in backticks: see plain().
numpydoc_show_class_members = False
numpydoc_xref_param_type = False
autosummary_generate = True
autodoc_default_options = {"members": True, "inherited-members": True}
autodoc_member_order = "bysource"
autodoc_mock_imports = ["mpi4py"]           # of fastnn.distributed
autodoc_typehints = "signature"
python_maximum_signature_line_length = 88
add_module_names = False
doctest_global_setup = "import numpy as np"
doctest_test_doctest_blocks = "default"
trim_doctest_flags = True
html_show_sourcelink = False

html_theme = "pydata_sphinx_theme"
html_title = "fastnn"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_theme_options = {
    "logo": {"text": "fastnn"}, "navbar_align": "left", "header_links_before_dropdown": 6, "show_prev_next": True,
    "secondary_sidebar_items": ["page-toc"], "footer_start": ["copyright"], "footer_end": [], "show_toc_level": 2,
    "pygments_light_style": "a11y-high-contrast-light", "pygments_dark_style": "a11y-high-contrast-dark"}
html_sidebars = {"index": [], "gallery/index": []}

EXAMPLES = ["digits", "autoencoder", "xor", "paths", "schedules", "own_formulas", "pipeline", "word2vec", "char_rnn",
            "cartpole"]


def place(name):
    """Where an example stands in the gallery; new ones come last."""
    stem = Path(name).stem
    return EXAMPLES.index(stem) if stem in EXAMPLES else len(EXAMPLES)


sphinx_gallery_conf = {
    "examples_dirs": ["examples"], "gallery_dirs": ["gallery"], "filename_pattern": r"\.py$",
    "ignore_pattern": r"ports|__", "within_subsection_order": place, "download_all_examples": False,
    "show_memory": False, "show_signature": False, "remove_config_comments": True,
    "plot_gallery": "True", "abort_on_example_error": True, "min_reported_time": 600,
    "matplotlib_animations": False, "write_computation_times": False}

CODE = re.compile(r"(`+[^`]*`+)")
ROLE = re.compile(r":[\w:]+:`~?([^`<]*?)\s*(?:<[^>]*>)?`")        # scikit-learn's docstrings have its site's


def plain(app, what, name, obj, options, lines):
    """Docstrings are read by people at a prompt: what reStructuredText would take for markup is escaped, and indented
    paragraphs before the sections are code."""
    rules = [i for i, line in enumerate(lines) if re.fullmatch("-{3,}", line)]
    first, found = rules[0] - 1 if rules else len(lines), []
    for i, line in enumerate(lines):
        code = i < first and line.startswith("    ")
        above = next((each for each in reversed(found) if each), "")
        if code and not lines[i - 1].strip() and not above.startswith("    "):
            found += ["::", ""]
        if not (code or line.lstrip().startswith((">>>", "...")) or line.startswith("        ")):
            parts = CODE.split(ROLE.sub(r"\1", line))
            parts[::2] = [re.sub(r"([*|])", r"\\\1", re.sub(r"(?<=\w)_(?!\w)", r"\\_", part)) for part in parts[::2]]
            line = "".join(parts)
        found.append(line)
    lines[:] = found


def setup(app):
    app.connect("autodoc-process-docstring", plain, priority=1)         # before numpydoc, which reads the sections


sys.path.insert(0, str(HERE / "examples"))
