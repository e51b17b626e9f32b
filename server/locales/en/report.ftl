title = { $tenant }: mail report of { $day }

subject-balanced = { $tenant }: all mail is in all three places ({ $day })
subject-unbalanced = { $tenant }: ATTENTION, the three copies of your mail differ ({ $day })
subject-unproven = { $tenant }: ATTENTION, the copies of your mail could not be proved ({ $day })
subject-missing = { $tenant }: ATTENTION, the check of your mail did not take place ({ $day })
subject-no_tx = { $tenant }: no check of your mail was due ({ $day })

verdict-balanced = All mail is in all three places: main account, second account and archive on site are equal.
verdict-unbalanced = The three copies of your mail are not equal, and nothing explains the difference.
verdict-unproven = It could not be proved today that the three copies of your mail are equal.
verdict-missing = A check of your mail that was due today did not arrive.
verdict-no_tx = No check of your mail was due today.

advice-balanced = There is nothing for you to do.
advice-unbalanced = What is missing on the second account is put back by itself. Please have your technician look at everything else that is listed below as unexplained.
advice-unproven = If this is in tomorrow's report again, please have your technician look at it.
advice-missing = Please see to it that the computer with the mail agent is switched on and has a connection to the Internet, and tell your technician.
advice-no_tx = There is nothing for you to do.

tx = Check due at { $at }
no-tx-today = No check was due today.
corner = Place
messages = Messages
counted = { $number ->
    [one] 1 message
   *[other] { $count } messages
}
size = Size
bytes = { $size } ({ $bytes } bytes)
corner-primary = Main account
corner-standby = Second account
corner-store = Archive on site

result-balanced = equal
result-unbalanced = not equal
result-unproven = not proved
result-failed = failed
result-missing = did not arrive
result-nothing = not reported

differences = { $number ->
    [one] One difference between the places
   *[other] Differences between the places
}
repairs = Repaired since the check before
explained = explained
unexplained = unexplained
repaired = repaired
tombstones = { $number ->
    [one] One message was deleted on the main account since the check before; the copies are kept.
   *[other] { $count } messages were deleted on the main account since the check before; the copies are kept.
}
chain-begun_anew = The chain of certificates begins anew with this check: what the agent on site had kept of it is gone. If nothing was set up anew there, ask your provider.
chain-gap = The certificate before this one is missing in the chain: it never arrived here. Ask your provider.
chain-forked = The chain of certificates parts: two certificates followed the same state, because an older state of the agent was put back or a copy of it runs. Ask your provider.
oldest-proof = The content of every message was last read back and compared on { $day } or later.

class-missing_at_standby = Missing on the second account
class-missing_in_store = Missing in the archive
class-foreign_at_standby = Put on the second account by somebody else
class-altered = Content altered
class-duplicate = Surplus copies
class-misplaced = In another folder
class-flags_differ = Other marks (read, answered and so on)
class-date_differs = Other date of receipt
class-does_not_stay = Put back and gone again
class-unseen = Came and went between two checks
class-missing_at_primary = Deleted on the main account, kept here
class-moved = Moved on the main account, old copy kept
class-preexisting = Was there before us
class-equivalent = Rewritten by the mail provider, same content
class-host_merged = Merged by the mail provider
class-excluded = In a folder that is left out
class-late = Came after the moment of the check
class-quarantined = Cannot be copied unchanged, kept apart
class-not_yet_on_medium = Not yet on the medium
class-pending = Still to be copied

reason-missing = The agent on site sent no result in time.
failure-at = { $reason } Place: { $corner }.
failure-unreachable = The mail server could not be reached.
failure-interrupted = The connection broke off.
failure-certificate = The mail server's certificate is not good.
failure-credentials_refused = User name or password was refused.
failure-refused = The mail server refused a command.
failure-unexpected_answer = The mail server gave an answer that was not understood.
failure-over_quota = The account is full.
failure-local_storage = The disk on site is full or faulty.
failure-store_key = The key of the archive on site is missing or wrong.
failure-configuration = The agent's settings are wrong.
failure-internal = The agent failed; its log says why.

corrections = Results that came after the earlier reports
correction = { $triangle }, check due on { $at }: { $is } (reported before: { $said })
footer = Written by Maildreieck. Times are those of { $zone }. You get this report every day, also when all is well: if it stays away, something is wrong.
