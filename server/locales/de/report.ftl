title = { $tenant }: E-Mail-Bericht vom { $day }

subject-balanced = { $tenant }: Alle E-Mails liegen an allen drei Orten ({ $day })
subject-unbalanced = { $tenant }: ACHTUNG, die drei Kopien Ihrer E-Mails weichen voneinander ab ({ $day })
subject-unproven = { $tenant }: ACHTUNG, die Kopien Ihrer E-Mails ließen sich nicht nachweisen ({ $day })
subject-missing = { $tenant }: ACHTUNG, die Prüfung Ihrer E-Mails ist ausgeblieben ({ $day })
subject-no_tx = { $tenant }: Es war keine Prüfung Ihrer E-Mails fällig ({ $day })

verdict-balanced = Alle E-Mails liegen an allen drei Orten: Hauptkonto, Zweitkonto und Archiv vor Ort stimmen überein.
verdict-unbalanced = Die drei Kopien Ihrer E-Mails stimmen nicht überein, und nichts erklärt die Abweichung.
verdict-unproven = Heute ließ sich nicht nachweisen, dass die drei Kopien Ihrer E-Mails übereinstimmen.
verdict-missing = Eine heute fällige Prüfung Ihrer E-Mails ist nicht eingetroffen.
verdict-no_tx = Heute war keine Prüfung Ihrer E-Mails fällig.

advice-balanced = Sie brauchen nichts zu tun.
advice-unbalanced = Was auf dem Zweitkonto fehlt, wird von selbst nachgetragen. Alles andere, was unten als ungeklärt aufgeführt ist, sollte sich Ihr Techniker ansehen.
advice-unproven = Steht dies morgen wieder im Bericht, sollte es sich Ihr Techniker ansehen.
advice-missing = Bitte sorgen Sie dafür, dass der Rechner mit dem Mail-Agenten eingeschaltet und mit dem Internet verbunden ist, und sagen Sie Ihrem Techniker Bescheid.
advice-no_tx = Sie brauchen nichts zu tun.

tx = Prüfung, fällig um { $at } Uhr
no-tx-today = Heute war keine Prüfung fällig.
corner = Ort
messages = Nachrichten
counted = { $number ->
    [one] 1 Nachricht
   *[other] { $count } Nachrichten
}
size = Umfang
bytes = { $size } ({ $bytes } Bytes)
corner-primary = Hauptkonto
corner-standby = Zweitkonto
corner-store = Archiv vor Ort

result-balanced = stimmt überein
result-unbalanced = weicht ab
result-unproven = nicht nachgewiesen
result-failed = fehlgeschlagen
result-missing = nicht eingetroffen
result-nothing = nicht berichtet

differences = { $number ->
    [one] Eine Abweichung zwischen den Orten
   *[other] Abweichungen zwischen den Orten
}
repairs = Seit der vorigen Prüfung behoben
explained = geklärt
unexplained = ungeklärt
repaired = behoben
tombstones = { $number ->
    [one] Eine Nachricht wurde seit der vorigen Prüfung auf dem Hauptkonto gelöscht; die Kopien bleiben erhalten.
   *[other] { $count } Nachrichten wurden seit der vorigen Prüfung auf dem Hauptkonto gelöscht; die Kopien bleiben erhalten.
}
chain-begun_anew = Die Kette der Nachweise beginnt mit dieser Prüfung von vorn: Was der Agent vor Ort von ihr aufbewahrt hatte, ist nicht mehr da. Wurde dort nichts neu eingerichtet, fragen Sie Ihren Dienstleister.
chain-gap = In der Kette der Nachweise fehlt der vorige: Er ist nie hier angekommen. Fragen Sie Ihren Dienstleister.
chain-forked = Die Kette der Nachweise teilt sich: Auf denselben Stand folgten zwei Nachweise, weil ein älterer Stand des Agenten zurückgespielt wurde oder eine Kopie von ihm läuft. Fragen Sie Ihren Dienstleister.
oldest-proof = Der Inhalt jeder Nachricht wurde zuletzt am { $day } oder später zurückgelesen und verglichen.

class-missing_at_standby = Fehlt auf dem Zweitkonto
class-missing_in_store = Fehlt im Archiv
class-foreign_at_standby = Von jemand anderem auf das Zweitkonto gelegt
class-altered = Inhalt verändert
class-duplicate = Überzählige Kopien
class-misplaced = In einem anderen Ordner
class-flags_differ = Andere Markierungen (gelesen, beantwortet usw.)
class-date_differs = Anderes Eingangsdatum
class-does_not_stay = Nachgetragen und wieder verschwunden
class-unseen = Zwischen zwei Prüfungen gekommen und gegangen
class-missing_at_primary = Auf dem Hauptkonto gelöscht, hier aufbewahrt
class-moved = Auf dem Hauptkonto verschoben, alte Kopie aufbewahrt
class-preexisting = War schon vorher da
class-equivalent = Vom Anbieter umgeschrieben, gleicher Inhalt
class-host_merged = Vom Anbieter zusammengelegt
class-excluded = In einem ausgenommenen Ordner
class-late = Nach dem Zeitpunkt der Prüfung eingegangen
class-quarantined = Nicht unverändert kopierbar, gesondert aufbewahrt
class-not_yet_on_medium = Noch nicht auf dem Datenträger
class-pending = Noch zu kopieren

reason-missing = Der Agent vor Ort hat kein rechtzeitiges Ergebnis gesendet.
failure-at = { $reason } Ort: { $corner }.
failure-unreachable = Der Mailserver war nicht erreichbar.
failure-interrupted = Die Verbindung brach ab.
failure-certificate = Das Zertifikat des Mailservers ist nicht in Ordnung.
failure-credentials_refused = Benutzername oder Passwort wurde abgelehnt.
failure-refused = Der Mailserver hat einen Befehl abgelehnt.
failure-unexpected_answer = Der Mailserver gab eine unverständliche Antwort.
failure-over_quota = Das Konto ist voll.
failure-local_storage = Die Festplatte vor Ort ist voll oder fehlerhaft.
failure-store_key = Der Schlüssel des Archivs vor Ort fehlt oder ist falsch.
failure-configuration = Die Einstellungen des Agenten sind falsch.
failure-internal = Der Agent ist gescheitert; sein Protokoll sagt, warum.

corrections = Ergebnisse, die nach den früheren Berichten kamen
correction = { $triangle }, Prüfung fällig am { $at } Uhr: { $is } (zuvor berichtet: { $said })
footer = Geschrieben von Maildreieck. Die Uhrzeiten gelten für { $zone }. Sie erhalten diesen Bericht jeden Tag, auch wenn alles in Ordnung ist: Bleibt er aus, stimmt etwas nicht.
