"""Training rows made of templates, in four languages; the test rows are sentences written by hand (see README.md).

    python3 make.py          # writes {de,en,fr,es}-train.csv and -test.csv here; deterministic
"""
import csv, itertools, random
from pathlib import Path

# label: openings, what it is about, endings. A row is one of each; 40 to 50 rows a label.
TRAIN = {
    "de": {  # tickets of a web shop
        "rechnung": (
            ["Die Rechnung {n}", "Der Betrag auf der Rechnung {n}", "Meine Rechnung vom {d}", "Die Abbuchung vom {d}"],
            ["ist nicht korrekt", "wurde doppelt berechnet", "enthält eine falsche Mehrwertsteuer", "stimmt nicht mit dem Angebot überein", "ist noch nicht angekommen"],
            ["bitte korrigieren.", "bitte um Prüfung der Zahlung.", "bitte senden Sie eine neue Rechnung."]),
        "lieferung": (
            ["Die Lieferung {n}", "Mein Paket {n}", "Die Bestellung vom {d}", "Die Sendung {n}"],
            ["ist noch nicht angekommen", "wurde an die falsche Adresse geliefert", "hat Verspätung", "wird seit Tagen nicht zugestellt", "ist laut Sendungsverfolgung unterwegs"],
            ["wann wird geliefert?", "bitte um Nachforschung.", "bitte teilen Sie mir den Liefertermin mit."]),
        "beschwerde": (
            ["Ich bin sehr unzufrieden:", "Ich möchte mich beschweren:", "Beschwerde zu Auftrag {n}:", "Das ist eine Zumutung:"],
            ["der Artikel ist defekt", "Ihr Mitarbeiter war unfreundlich", "die Qualität ist schlecht", "das Gerät ist beschädigt", "der Service ist mangelhaft"],
            ["ich erwarte eine Entschuldigung.", "ich verlange Ersatz.", "so etwas darf nicht passieren."]),
        "frage": (
            ["Eine Frage zum Produkt {n}:", "Ich habe eine Frage:", "Können Sie mir sagen,", "Ich hätte gerne eine Auskunft:"],
            ["welche Größe ist verfügbar", "welche Farben gibt es", "wie lange ist die Garantie", "ist der Artikel auf Lager", "gibt es eine Anleitung"],
            ["vielen Dank für die Information.", "danke im Voraus.", "bitte um kurze Antwort."]),
        "konto": (
            ["Mein Kundenkonto {n}", "Mein Benutzerkonto", "Das Konto mit der Nummer {n}", "Mein Zugang zum Konto"],
            ["ist gesperrt", "soll gelöscht werden", "akzeptiert das Passwort nicht", "zeigt eine alte E-Mail-Adresse", "lässt keine Anmeldung zu"],
            ["bitte zurücksetzen.", "bitte freischalten.", "bitte ändern Sie die Daten."]),
    },
    "en": {  # messages to an internet provider
        "billing": (
            ["My bill for {d}", "Invoice {n}", "The charge on invoice {n}", "My monthly bill"],
            ["is incorrect", "was charged twice", "does not match my contract", "shows an extra fee", "has the wrong amount"],
            ["please correct it.", "please refund the difference.", "please send a new invoice."]),
        "outage": (
            ["The internet connection", "My broadband connection", "The connection at line {n}", "Internet service since {d}"],
            ["is down", "drops every few minutes", "is not working", "is very slow", "has no signal"],
            ["please fix the fault.", "please check the line.", "please restore the service."]),
        "cancel": (
            ["I want to cancel", "I would like to terminate", "Please cancel", "I hereby cancel"],
            ["my contract {n}", "my subscription", "my broadband contract as of {d}", "the contract with number {n}", "my service at the end of the term"],
            ["please confirm the cancellation.", "please confirm the termination date.", "kindly send a written confirmation."]),
        "upgrade": (
            ["I would like to upgrade", "Please upgrade", "I am interested in upgrading", "Can I upgrade"],
            ["to a faster plan", "my contract {n} to the premium plan", "my plan to more bandwidth", "to the fibre package", "to the plan with 500 Mbit"],
            ["please send me an offer.", "what is the price of the plan?", "please send the details."]),
        "appointment": (
            ["The technician appointment on {d}", "My appointment {n}", "The installation appointment", "The engineer visit on {d}"],
            ["needs to be rescheduled", "has to be moved to another date", "was not confirmed", "is at the wrong time", "must be postponed"],
            ["please suggest a new date.", "please confirm a new appointment.", "please let me know the time."]),
    },
    "fr": {  # mails to a shop
        "facturation": (
            ["La facture {n}", "Le montant de la facture {n}", "Ma facture du {d}", "Le prélèvement du {d}"],
            ["est incorrect", "a été débité deux fois", "comporte une erreur de TVA", "ne correspond pas au devis", "n'a pas été reçu"],
            ["merci de corriger.", "merci de vérifier le paiement.", "veuillez m'envoyer une nouvelle facture."]),
        "livraison": (
            ["La livraison {n}", "Mon colis {n}", "La commande du {d}", "L'expédition {n}"],
            ["n'est pas encore arrivée", "a été livrée à une mauvaise adresse", "est en retard", "est bloquée depuis plusieurs jours", "est indiquée en transit"],
            ["quand sera-t-elle livrée ?", "merci de lancer une recherche.", "merci de m'indiquer la date de livraison."]),
        "réclamation": (
            ["Je suis très mécontent :", "Je souhaite faire une réclamation :", "Réclamation concernant la commande {n} :", "C'est inadmissible :"],
            ["l'article est défectueux", "votre employé a été désagréable", "la qualité est mauvaise", "l'appareil est endommagé", "le service est insuffisant"],
            ["j'attends des excuses.", "j'exige un remplacement.", "cela ne doit pas se reproduire."]),
        "renseignement": (
            ["Une question sur le produit {n} :", "J'ai une question :", "Pouvez-vous me dire", "Je souhaite un renseignement :"],
            ["quelle taille est disponible", "quelles couleurs existent", "quelle est la durée de la garantie", "l'article est-il en stock", "existe-t-il une notice"],
            ["merci pour l'information.", "merci d'avance.", "merci de votre réponse rapide."]),
        "compte": (
            ["Mon compte client {n}", "Mon compte utilisateur", "Le compte numéro {n}", "Mon accès au compte"],
            ["est bloqué", "doit être supprimé", "n'accepte pas le mot de passe", "affiche une ancienne adresse e-mail", "refuse la connexion"],
            ["merci de le réinitialiser.", "merci de le débloquer.", "merci de modifier les données."]),
    },
    "es": {  # tickets of an airline
        "reserva": (
            ["Mi reserva {n}", "La reserva del {d}", "El cambio de la reserva {n}", "La confirmación de la reserva {n}"],
            ["tiene una fecha incorrecta", "no aparece en el sistema", "debe cambiarse a otro vuelo", "tiene el nombre mal escrito", "no ha sido confirmada"],
            ["por favor, corríjanla.", "solicito la modificación de la fecha.", "por favor, envíen la confirmación."]),
        "equipaje": (
            ["Mi equipaje del vuelo {n}", "La maleta facturada el {d}", "El equipaje facturado", "Mi maleta con etiqueta {n}"],
            ["no ha llegado", "está dañado", "se ha perdido", "llegó con retraso", "fue enviado a otro aeropuerto"],
            ["solicito su localización.", "por favor, entreguen el equipaje.", "solicito información sobre el equipaje."]),
        "reembolso": (
            ["Solicito el reembolso", "Quiero la devolución del importe", "Pido el reembolso", "Reclamo la devolución"],
            ["del billete {n}", "del vuelo cancelado el {d}", "de la tasa cobrada dos veces", "de la tarifa pagada", "de la reserva anulada {n}"],
            ["por favor, abonen el importe.", "indiquen el plazo del reembolso.", "el pago fue con tarjeta."]),
        "queja": (
            ["Quiero presentar una queja:", "Estoy muy descontento:", "Queja sobre el vuelo {n}:", "Es inaceptable:"],
            ["el personal fue desagradable", "el asiento estaba roto", "el servicio a bordo fue malo", "la comida era de mala calidad", "la atención fue deficiente"],
            ["espero una disculpa.", "esto no debe repetirse.", "exijo una explicación."]),
    },
}

# Written by hand before any model saw them, as people write who do not know the templates.
TEST = {
    "de": [
        ("rechnung", "ihr habt mir zweimal 49,90 vom giro genommen, einmal reicht"),
        ("rechnung", "Wieso soll ich auf einmal Mahngebühren zahlen, ich hab doch längst überwiesen?"),
        ("rechnung", "Hi, für die Steuer bräuchte ich den Beleg auf meine Firma ausgestellt, nicht auf mich privat"),
        ("rechnung", "Der Gutschein über 20 Euro wurde beim Bezahlen nicht abgezogen"),
        ("rechnung", "auf meiner kreditkarte sind 12 euro zu viel weg"),
        ("lieferung", "Der DHL Bote war angeblich da, ich saß aber den ganzen Tag zuhause"),
        ("lieferung", "wo bleiben eigentlich meine schuhe? ich warte jetzt schon zwei wochen"),
        ("lieferung", "Können Sie das bitte beim Nachbarn abgeben, wir sind ab morgen im Urlaub"),
        ("lieferung", "Laut Tracking hängt es seit Montag in Leipzig fest und nichts rührt sich"),
        ("lieferung", "Schafft es das Geschenk noch bis Heiligabend zu uns?"),
        ("beschwerde", "So was Freches wie an Ihrer Hotline hab ich noch nie erlebt"),
        ("beschwerde", "nach drei mal waschen ist der pulli total verzogen, nie wieder kauf ich bei euch"),
        ("beschwerde", "Die Tasse war in tausend Scherben, echt ärgerlich!"),
        ("beschwerde", "Seit einer Stunde in der Warteschleife, ihr nehmt eure Kunden wohl nicht ernst"),
        ("beschwerde", "Der Reißverschluss ging schon beim ersten Anziehen kaputt, was für ein Schrott"),
        ("frage", "Passt die Hülle auch aufs iPhone 12?"),
        ("frage", "fällt die jacke eher klein aus oder kann ich meine normale M nehmen"),
        ("frage", "Kommt der blaue Rucksack irgendwann wieder rein?"),
        ("frage", "Darf der Topf in die Spülmaschine?"),
        ("frage", "Ist da eigentlich ein Ladekabel dabei, oder muss ich das extra kaufen?"),
        ("konto", "komme nicht mehr rein, der code per sms kommt nie an"),
        ("konto", "Ich hab geheiratet, wie kann ich meinen Nachnamen bei euch ändern?"),
        ("konto", "Bitte entfernen Sie alles, was Sie über mich gespeichert haben, ich will nicht mehr registriert sein"),
        ("konto", "Irgendwer hat sich mit meiner Mailadresse bei euch eingeloggt, das war ich nicht"),
    ],
    "en": [
        ("billing", "you took 60 quid out of my account instead of 30, what's going on"),
        ("billing", "Why am I suddenly paying for sports channels I never ordered?"),
        ("billing", "I already paid last week and you still sent me a reminder"),
        ("billing", "could my husband's card be used for the direct debit from now on"),
        ("billing", "The discount you promised me on the phone hasn't been taken off"),
        ("outage", "nothing loads since last night, the little light on the router is red"),
        ("outage", "Netflix keeps freezing and the kids can't do their homework online"),
        ("outage", "wifi dead again!! third time this week"),
        ("outage", "Is there a problem in our area? None of my neighbours can get online either"),
        ("outage", "video calls keep cutting out in the evenings, it's driving me mad"),
        ("cancel", "We're moving abroad in June so we won't need you anymore"),
        ("cancel", "i'm leaving for another provider, how do i get out of this"),
        ("cancel", "My mother passed away, how do I close her account with you?"),
        ("cancel", "Don't renew it for another year, I've had enough"),
        ("cancel", "what's the notice period if I decide to leave in the autumn"),
        ("upgrade", "we both work from home now and need something quicker, what have you got"),
        ("upgrade", "How much more a month for the gigabit one?"),
        ("upgrade", "My son games a lot, is there a better package for us?"),
        ("upgrade", "saw your ad for the 1000 mbps thing, can I switch over to that"),
        ("appointment", "nobody showed up today, I took the whole morning off for your guy"),
        ("appointment", "Can the man come after 5 instead? I'm at work till then"),
        ("appointment", "I won't be home on Thursday, any chance he could drop by Friday"),
        ("appointment", "what time is your fitter coming tomorrow? I need to let him into the building"),
        ("appointment", "Sorry, something came up, we'll have to do the box another day"),
    ],
    "fr": [
        ("facturation", "vous m'avez pris deux fois 35 euros sur ma carte, une seule suffisait"),
        ("facturation", "Pourquoi dois-je encore payer alors que j'ai fait le virement la semaine dernière ?"),
        ("facturation", "Il me faudrait un justificatif au nom de mon entreprise pour ma comptable"),
        ("facturation", "le code promo n'a pas été déduit au moment de régler"),
        ("facturation", "On m'a compté 8 euros de trop, je ne comprends pas d'où ça sort"),
        ("livraison", "le facteur dit qu'il est passé mais j'étais à la maison toute la journée"),
        ("livraison", "Où sont mes chaussures ? ça fait deux semaines que j'attends"),
        ("livraison", "Est-ce que le cadeau sera là avant Noël ?"),
        ("livraison", "Vous pouvez le laisser chez la gardienne ? on part en vacances demain"),
        ("livraison", "d'après le suivi c'est coincé à Lyon depuis lundi et rien ne bouge"),
        ("réclamation", "jamais vu des gens aussi malpolis au téléphone, c'est honteux"),
        ("réclamation", "Le vase était en mille morceaux quand j'ai ouvert, je suis furieuse"),
        ("réclamation", "après trois lavages le pull est tout déformé, plus jamais chez vous"),
        ("réclamation", "La fermeture a cassé le premier jour, c'est vraiment de la camelote"),
        ("réclamation", "une heure à attendre au standard pour qu'on me raccroche au nez, bravo"),
        ("renseignement", "Est-ce que la coque va aussi sur l'iPhone 12 ?"),
        ("renseignement", "la veste taille plutôt petit ou je prends mon M habituel"),
        ("renseignement", "Le sac bleu va-t-il revenir bientôt ?"),
        ("renseignement", "Cette casserole passe au lave-vaisselle ?"),
        ("renseignement", "y a un chargeur avec ou il faut l'acheter à part"),
        ("compte", "je n'arrive plus à me connecter, le code par sms n'arrive jamais"),
        ("compte", "Je me suis mariée, comment changer mon nom de famille sur votre site ?"),
        ("compte", "Effacez tout ce que vous avez sur moi, je ne veux plus être inscrit"),
        ("compte", "Quelqu'un est entré sur mon profil avec mon adresse mail, ce n'était pas moi"),
    ],
    "es": [
        ("reserva", "me equivoqué de día al comprar, quería el viernes y no el jueves"),
        ("reserva", "He puesto mal mi segundo apellido, ¿lo podéis arreglar?"),
        ("reserva", "pagué ayer y todavía no me ha llegado ningún correo con los billetes"),
        ("reserva", "¿Puedo adelantar la vuelta un par de días?"),
        ("reserva", "Quisiera sentarme al lado de mi hija, vamos en filas distintas"),
        ("reserva", "Al final viene también mi suegra, ¿la puedo añadir?"),
        ("equipaje", "llevo tres horas mirando la cinta y mis cosas no salen"),
        ("equipaje", "Me han roto una rueda y el asa del trolley"),
        ("equipaje", "¿Puedo subir a cabina el carrito del bebé?"),
        ("equipaje", "Estoy en Roma sin ropa porque lo mío se quedó en Madrid"),
        ("equipaje", "alguien se ha llevado mi mochila por error, es igual que la suya"),
        ("equipaje", "¿Cuántos kilos puedo llevar sin pagar más?"),
        ("reembolso", "¿Cuándo me vais a ingresar los 180 euros?"),
        ("reembolso", "No pude viajar porque me operaron, quiero recuperar mi dinero"),
        ("reembolso", "me cobrasteis dos veces lo mismo, devolvedme una"),
        ("reembolso", "Prefiero el dinero y no un bono para otro viaje"),
        ("reembolso", "Suspendisteis la salida por la huelga, ¿cómo recupero lo que pagué?"),
        ("reembolso", "Ya hace dos meses y en mi banco no veo ni un céntimo"),
        ("queja", "la azafata nos gritó delante de todos, qué vergüenza"),
        ("queja", "El bocadillo estaba helado y encima lo cobran a precio de oro"),
        ("queja", "jamás me habían tratado tan mal, no vuelvo a volar con vosotros"),
        ("queja", "El baño estaba asqueroso y nadie hizo nada en todo el viaje"),
        ("queja", "cinco horas tirados en la puerta y ni un vaso de agua nos dieron"),
        ("queja", "Mi pantalla no funcionaba y al que se lo dije se rió de mí"),
    ],
}
ROWS = {"de": 40, "en": 52, "fr": 40, "es": 50}


def write(path, rows):
    with open(path, "w", newline="", encoding="utf-8") as f:
        csv.writer(f, lineterminator="\n").writerows([("label", "text"), *rows])


def main():
    here = Path(__file__).parent
    for language, labels in TRAIN.items():
        rng = random.Random(language)
        rows = []
        for label, (openings, middles, endings) in labels.items():
            for opening, middle, ending in rng.sample(list(itertools.product(openings, middles, endings)), ROWS[language]):
                text = f"{opening} {middle}, {ending}"
                date = f"{rng.randint(1, 28)}.{rng.randint(1, 12)}." if language == "de" else f"{rng.randint(1, 28)}/{rng.randint(1, 12)}"
                rows.append((label, text.replace("{n}", str(rng.randint(10000, 99999))).replace("{d}", date)))
        rng.shuffle(rows)
        write(here / f"{language}-train.csv", rows)
        write(here / f"{language}-test.csv", TEST[language])


main()
