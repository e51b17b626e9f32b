title = { $triangle }
title-tx = { $triangle }: Tx of { $at }, depth { $depth }
pop3 = The primary speaks POP3: of it the INBOX alone, without flags.
would-rename = would rename folder '{ $from }' to '{ $to }'
would-move = would move the messages of '{ $from }' to '{ $to }'
would-do = would make { $folders } folders, copy { $copies } messages, send { $sends } from the store, move { $moves }, change flags of { $flags }, write down { $records } records
mirrored = { $number ->
    [one] mirrored 1 message, { $bytes } bytes
   *[other] mirrored { $count } messages, { $bytes } bytes
}
corner-primary = primary
corner-standby = standby
corner-store = store
messages = messages
bytes = bytes
set-hash = set hash

mended = Mended since the last Tx:
differences = Differences:
explained = explained
unexplained = UNEXPLAINED
worst = { $number ->
    [one] The one that nothing explains:
   *[other] The worst { $shown } of { $count } that nothing explains:
}
rest = { $number ->
    [one] and 1 more; --json lists all
   *[other] and { $count } more; --json lists all
}
named = { $class }: { $folder }, { $corner }
named-uid = { $class }: { $folder }, { $corner } (UID { $uid } in { $uid-corner })
subject = "{ $subject }"
no-subject = (no subject)
from = from { $sender }
contrast = { $left-corner }: { $left }; { $right-corner }: { $right }
no-flags = no flags
volume = { $messages } messages, { $bytes } bytes

class-missing_at_standby = missing at the standby
class-missing_in_store = missing in the store
class-foreign_at_standby = foreign at the standby
class-altered = octets altered
class-duplicate = surplus copy
class-misplaced = in another folder
class-flags_differ = other flags
class-date_differs = other date of arrival
class-does_not_stay = put back and gone again
class-unseen = came and went unseen
class-missing_at_primary = gone from the primary, kept here
class-moved = moved on the primary, old copy
class-preexisting = was there before
class-equivalent = same in another form
class-host_merged = merged by the hoster
class-excluded = in a folder that is left out
class-late = came after the cut
class-quarantined = put aside
class-not_yet_on_medium = not yet on the medium
class-pending = still to be copied

held-back = HELD BACK by the guard: { $messages } of { $of } messages vanished or need putting back. New mail still flows.
release = If this is meant: { $command }
not-looked-at = NOT LOOKED AT: '{ $folder }' in { $corner }, which its server lists and does not open: { $detail }
unread = NOT READABLE: UID { $uid } of '{ $folder }' in { $corner }: { $detail }
full = FULL: { $corner } has no room for { $messages } messages, { $bytes } bytes. It lacks { $lacks }. Make room there or raise its quota; the next run goes on.
lacks-bytes = { $bytes } bytes
lacks-messages = { $messages } messages
lacks-both = { $bytes } bytes and { $messages } messages
waits = { $messages } messages, { $bytes } bytes wait for an account's budget of bytes a day.
goes-on = It goes on after { $at }.
failed = FAILED: { $reason }

depth-volume = Compared: how many messages and bytes each folder holds.
depth-ledger = Compared: each message with its flags and date, as the servers list them now.
depth-content = Compared: each message with its flags and date, every octet read.
depth-content-in-part = Compared: each message with its flags and date, octets only in part.
budget-ended = The primary account's budget of bytes a day was spent before all was read; later proofs read the rest.
unseen = Not looked at: { $list }.
unseen-messages = which messages they are
unseen-flags = flags
unseen-dates = dates
unseen-octets = the octets of { $count } messages
coverage = Read back now: { $now } of { $messages } messages.
oldest = Each was read back on { $at } or later.

verdict-balanced = BALANCED: the three corners hold the same mail.
verdict-unbalanced = UNBALANCED: the corners differ, and nothing explains it.
verdict-unproven = UNPROVEN: not everything could be compared.
