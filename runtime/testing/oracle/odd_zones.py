"""Zones whose clocks changed in unusual ways since 1900, and a few plain ones."""

ODD_ZONES = (
    "UTC", "Etc/GMT+12", "Europe/Berlin", "Europe/London", "America/New_York",
    # Changes that are not at a whole hour, or not by one.
    "America/St_Johns", "Australia/Lord_Howe", "Asia/Kathmandu", "Asia/Kolkata", "Pacific/Chatham", "Antarctica/Troll",
    "Africa/Monrovia", "Europe/Amsterdam", "Asia/Pyongyang", "America/Caracas", "Australia/Eucla", "Asia/Colombo",
    "Africa/Nairobi", "Asia/Singapore", "Pacific/Honolulu", "America/Guyana", "Europe/Dublin", "Africa/Accra",
    # Midnights that are skipped or shown twice.
    "America/Havana", "America/Sao_Paulo", "America/Toronto", "Asia/Beirut", "Asia/Amman", "America/Asuncion",
    "America/Santiago", "Asia/Tehran", "Africa/Cairo", "Atlantic/Azores", "America/Nuuk",
    # Days that are left out or repeated.
    "Pacific/Apia", "Pacific/Kiritimati", "Pacific/Kwajalein", "Asia/Manila",
    # Rules that follow another calendar.
    "Africa/Casablanca", "Africa/El_Aaiun", "Asia/Gaza", "Asia/Jerusalem",
)  # fmt: skip
