title = { $triangle }
title-tx = { $triangle }: Tx vom { $at }, Tiefe { $depth }
pop3 = Das Hauptkonto spricht POP3: davon nur der Posteingang, ohne Markierungen.
would-rename = würde den Ordner „{ $from }“ in „{ $to }“ umbenennen
would-move = würde die Nachrichten aus „{ $from }“ nach „{ $to }“ verschieben
would-do = würde { $folders } Ordner anlegen, { $copies } Nachrichten kopieren, { $sends } aus dem Archiv senden, { $moves } verschieben, bei { $flags } die Markierungen ändern, { $records } Einträge niederschreiben
mirrored = { $number ->
    [one] 1 Nachricht gespiegelt, { $bytes } Bytes
   *[other] { $count } Nachrichten gespiegelt, { $bytes } Bytes
}
corner-primary = Hauptkonto
corner-standby = Zweitkonto
corner-store = Archiv vor Ort
messages = Nachrichten
bytes = Bytes
set-hash = Mengen-Hash

mended = Seit dem vorigen Tx behoben:
differences = Abweichungen:
explained = geklärt
unexplained = UNGEKLÄRT
worst = { $number ->
    [one] Die eine, die nichts erklärt:
   *[other] Die schwersten { $shown } von { $count }, die nichts erklärt:
}
rest = { $number ->
    [one] und 1 weitere; --json nennt alle
   *[other] und { $count } weitere; --json nennt alle
}
named = { $class }: { $folder }, { $corner }
named-uid = { $class }: { $folder }, { $corner } (UID { $uid }, { $uid-corner })
subject = „{ $subject }“
no-subject = (ohne Betreff)
from = von { $sender }
contrast = { $left-corner }: { $left }; { $right-corner }: { $right }
no-flags = keine Markierungen
volume = { $messages } Nachrichten, { $bytes } Bytes

class-missing_at_standby = fehlt auf dem Zweitkonto
class-missing_in_store = fehlt im Archiv
class-foreign_at_standby = fremd auf dem Zweitkonto
class-altered = Inhalt verändert
class-duplicate = überzählige Kopie
class-misplaced = in einem anderen Ordner
class-flags_differ = andere Markierungen
class-date_differs = anderes Eingangsdatum
class-does_not_stay = nachgetragen und wieder verschwunden
class-unseen = ungesehen gekommen und gegangen
class-missing_at_primary = auf dem Hauptkonto gelöscht, hier aufbewahrt
class-moved = auf dem Hauptkonto verschoben, alte Kopie
class-preexisting = war schon vorher da
class-equivalent = gleich in anderer Form
class-host_merged = vom Anbieter zusammengelegt
class-excluded = in einem ausgenommenen Ordner
class-late = nach dem Schnitt gekommen
class-quarantined = gesondert aufbewahrt
class-not_yet_on_medium = noch nicht auf dem Datenträger
class-pending = noch zu kopieren

held-back = ANGEHALTEN vom Wächter: { $messages } von { $of } Nachrichten sind verschwunden oder müssten nachgetragen werden. Neue Post läuft weiter.
release = Falls das so gewollt ist: { $command }
not-looked-at = NICHT ANGESEHEN: „{ $folder }“ ({ $corner }); der Server nennt den Ordner und öffnet ihn nicht: { $detail }
unread = NICHT LESBAR: UID { $uid } in „{ $folder }“ ({ $corner }): { $detail }
full = VOLL: { $corner } hat keinen Platz für { $messages } Nachrichten, { $bytes } Bytes. Es fehlen { $lacks }. Schaffen Sie dort Platz oder erhöhen Sie die Quota; der nächste Lauf macht weiter.
lacks-bytes = { $bytes } Bytes
lacks-messages = { $messages } Nachrichten
lacks-both = { $bytes } Bytes und { $messages } Nachrichten
waits = { $messages } Nachrichten, { $bytes } Bytes warten auf das Tagesbudget eines Kontos.
goes-on = Weiter geht es nach { $at }.
failed = GESCHEITERT: { $reason }

depth-volume = Verglichen: wie viele Nachrichten und Bytes jeder Ordner enthält.
depth-ledger = Verglichen: jede Nachricht mit Markierungen und Datum, wie die Server sie jetzt aufführen.
depth-content = Verglichen: jede Nachricht mit Markierungen und Datum, jedes Oktett gelesen.
depth-content-in-part = Verglichen: jede Nachricht mit Markierungen und Datum, Oktette nur zum Teil.
budget-ended = Das Tagesbudget des primären Kontos war verbraucht, bevor alles gelesen war; den Rest lesen spätere Tx.
unseen = Nicht angesehen: { $list }.
unseen-messages = welche Nachrichten es sind
unseen-flags = Markierungen
unseen-dates = Daten
unseen-octets = die Oktette von { $count } Nachrichten
coverage = Jetzt zurückgelesen: { $now } von { $messages } Nachrichten.
oldest = Jede wurde am { $at } oder später zurückgelesen.

verdict-balanced = AUSGEGLICHEN: Alle drei Ecken enthalten dieselbe Post.
verdict-unbalanced = NICHT AUSGEGLICHEN: Die Ecken weichen voneinander ab, und nichts erklärt es.
verdict-unproven = NICHT NACHGEWIESEN: Nicht alles ließ sich vergleichen.
