"""The base of every piece of a recipe: strict, frozen, plain data (pydantic)."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
NonNegative = Annotated[float, Field(ge=0.0)]
Positive = Annotated[float, Field(gt=0.0)]
PositiveInt = Annotated[int, Field(gt=0, le=1_000_000)]


class Spec(BaseModel):
    """A strict, frozen piece of a recipe; NaN and infinity are refused everywhere."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False, defer_build=True)


def refusal(path: str, message: str) -> PydanticCustomError:
    """An error of a whole piece that still knows the dotted key it is about; empty for the piece itself."""
    key = tuple(path.split(".")) if path else ()
    return PydanticCustomError("refused", "{message}", {"message": message, "path": key})
