"""A tour from Python: an ablation table declared, run, read and explained.

Open this file as a notebook (Jupyter and VS Code read the percent format), or run it, in about a minute on two cores:
``uv run python -m ablations.tour``.
"""

# %%
import matplotlib.pyplot as plt

from ablations.digits import train
from harness import Claim, Factor, Recipe, Row, Table

# %% [markdown]
# ## Declare
#
# The trainer is a function of one's own: it takes settings and gives metrics. Factors change its settings.


# %%
def declare() -> Table:
    """Declares the table: the rows share one recipe and differ in its factors."""
    recipe = Recipe(
        train,
        settings={
            **{"hidden": 32, "scale": False, "noise": 0.0, "decay": 0.0001, "learning_rate": 0.001, "epochs": 15},
            "scored_on": "test",
        },
        metrics={
            "accuracy": {"title": "Accuracy", "unit": "percent"},
            "log_loss": {"title": "Log loss", "better": "lower"},
        },
        factors={
            "Scale": Factor({"scale": True}),
            "Width": Factor(levels={"middle": {}, "narrow": {"hidden": 8}, "wide": {"hidden": 128}}),
        },
    )
    return Table.declare(
        "tour",
        title="What helps a small classifier of digits?",
        recipe=recipe,
        seeds=[0, 1, 2],
        metrics=["accuracy", "log_loss"],
        rows=[
            Row("plain", []),
            Row("scaled", ["Scale"]),
            Row("wide", ["Width=wide"]),
            Row("narrow", ["Width=narrow"]),
            Row("both", ["Scale", "Width=wide"]),
        ],
        claims=[Claim("A wider hidden layer helps", better="wide", than="plain", metric="accuracy")],
    )


# %% [markdown]
# ## Run, read, explain
#
# `plan` says what would be trained; `run` trains it, in processes of its own, and resumes where it was if it is
# interrupted. Everything after that is a data frame or a page.


# %%
def main() -> None:
    """Runs the table and looks at it."""
    table = declare()
    print(table.plan())
    print(table.run())

    results = table.results()
    print(results.pivot_table(index="row", columns="metric", values="value", sort=False).round(3))
    print(table.claims()[["text", "verdict", "gain", "low", "high"]].to_string(index=False))
    effects = table.effects()
    print(effects[effects.metric == "accuracy"][["kind", "effect", "gain", "low", "high"]].to_string(index=False))

    # Which digits does the wide network get right that the plain one gets wrong? The same digits in both: paired.
    digits = table.units("accuracy").pivot_table(index="unit", columns="row", values="value")
    gained = (digits["wide"] - digits["plain"]).sort_values(ascending=False)
    print("gained most:", gained.head(5).index.tolist(), "lost most:", gained.tail(5).index.tolist())

    figure, axes = plt.subplots(figsize=(6, 3), layout="constrained")
    accuracies = results[results.metric == "accuracy"]
    axes.plot(100 * accuracies.value, accuracies.row, "o", alpha=0.6)
    axes.set_xlabel("accuracy in percent, one dot a seed")
    axes.invert_yaxis()
    figure.savefig("tour.png")

    for path in table.report().write("tour"):
        print(path)


# %%
if __name__ == "__main__":
    main()
