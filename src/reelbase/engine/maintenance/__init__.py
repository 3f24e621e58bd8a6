"""Operations on a file as a whole: opening, upgrade, restore, check."""
