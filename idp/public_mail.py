"""Domains under which anybody can get a mailbox. No company may claim them: their people are strangers to each other."""

from __future__ import annotations

_DOMAINS = """
gmail.com googlemail.com
outlook.com outlook.at outlook.be outlook.cl outlook.cz outlook.de outlook.dk outlook.es outlook.fr outlook.hu
outlook.ie outlook.in outlook.it outlook.jp outlook.kr outlook.lv outlook.my outlook.ph outlook.pt outlook.sa
outlook.sg outlook.sk outlook.co.id outlook.co.il outlook.co.th outlook.com.ar outlook.com.au outlook.com.br
outlook.com.gr outlook.com.tr outlook.com.vn hotmail.com hotmail.at hotmail.be hotmail.ca hotmail.ch hotmail.cl
hotmail.co.id hotmail.co.il hotmail.co.jp hotmail.co.kr hotmail.co.th hotmail.co.uk hotmail.co.za hotmail.com.ar
hotmail.com.au hotmail.com.br hotmail.com.hk hotmail.com.tr hotmail.com.tw hotmail.com.vn hotmail.cz hotmail.de
hotmail.dk hotmail.es hotmail.fi hotmail.fr hotmail.gr hotmail.hu hotmail.it hotmail.lt hotmail.lv hotmail.my
hotmail.nl hotmail.no hotmail.ph hotmail.rs hotmail.se hotmail.sg hotmail.sk live.com live.at live.be live.ca live.cl
live.cn live.co.kr live.co.uk live.co.za live.com.ar live.com.au live.com.mx live.com.my live.com.ph live.com.pt
live.com.sg live.de live.dk live.fi live.fr live.hk live.ie live.in live.it live.jp live.nl live.no live.ru live.se
msn.com passport.com windowslive.com
yahoo.com yahoo.at yahoo.be yahoo.bg yahoo.ca yahoo.cl yahoo.cn yahoo.co.id yahoo.co.il yahoo.co.in yahoo.co.jp
yahoo.co.kr yahoo.co.nz yahoo.co.th yahoo.co.uk yahoo.co.za yahoo.com.ar yahoo.com.au yahoo.com.br yahoo.com.cn
yahoo.com.co yahoo.com.hk yahoo.com.mx yahoo.com.my yahoo.com.pe yahoo.com.ph yahoo.com.sg yahoo.com.tr yahoo.com.tw
yahoo.com.ua yahoo.com.ve yahoo.com.vn yahoo.cz yahoo.de yahoo.dk yahoo.ee yahoo.es yahoo.fi yahoo.fr yahoo.gr
yahoo.hr yahoo.hu yahoo.ie yahoo.in yahoo.it yahoo.lt yahoo.lv yahoo.nl yahoo.no yahoo.pl yahoo.pt yahoo.ro yahoo.rs
yahoo.ru yahoo.se yahoo.si yahoo.sk ymail.com rocketmail.com myyahoo.com
aol.com aol.at aol.be aol.ch aol.co.nz aol.co.uk aol.com.ar aol.com.au aol.com.br aol.com.mx aol.de aol.es aol.fr
aol.in aol.it aol.jp aol.nl aol.se aim.com love.com games.com wow.com netscape.net compuserve.com
icloud.com me.com mac.com privaterelay.appleid.com
proton.me protonmail.com protonmail.ch pm.me passmail.net passmail.com passinbox.com simplelogin.com simplelogin.co
slmail.me aleeas.com tuta.com tuta.io tutamail.com tutanota.com tutanota.de keemail.me
mailbox.org posteo.de posteo.net posteo.at posteo.be posteo.ch posteo.es posteo.eu posteo.me posteo.org posteo.uk
hey.com duck.com mozmail.com anonaddy.com anonaddy.me addy.io riseup.net disroot.org autistici.org runbox.com
startmail.com mailfence.com hushmail.com hush.com hush.ai mac.hush.com ctemplar.com skiff.com zoho.com zohomail.com
zohomail.eu zoho.eu zohomail.in cock.li airmail.cc countermail.com kolabnow.com migadu.com
fastmail.com fastmail.fm fastmail.net fastmail.org fastmail.cn fastmail.co fastmail.co.uk fastmail.com.au fastmail.de
fastmail.es fastmail.fr fastmail.im fastmail.in fastmail.jp fastmail.mx fastmail.nl fastmail.se fastmail.to
fastmail.tw fastmail.uk fastmail.us sent.com messagingengine.com eml.cc 123mail.org mailforce.net
gmx.com gmx.de gmx.at gmx.ch gmx.net gmx.org gmx.eu gmx.info gmx.biz gmx.us gmx.co.uk gmx.fr gmx.es gmx.it gmx.ca
gmx.co.in gmx.cn gmx.com.br gmx.com.my gmx.com.tr gmx.hk gmx.ie gmx.li gmx.lu gmx.ph gmx.pt gmx.ru gmx.se gmx.sg
gmx.tm gmx.tw mail.com email.com usa.com europe.com asia.com consultant.com engineer.com myself.com post.com
techie.com workmail.com writeme.com dr.com cheerful.com iname.com mail.org mail-me.com accountant.com
web.de freenet.de t-online.de magenta.de arcor.de online.de 1und1.de kabelmail.de unitybox.de vodafone.de
vodafonemail.de o2online.de o2mail.de alice.de alice-dsl.net ewe.net ewetel.net onlinehome.de lycos.de
orange.fr wanadoo.fr free.fr aliceadsl.fr sfr.fr neuf.fr 9online.fr cegetel.net club-internet.fr numericable.fr
noos.fr laposte.net bbox.fr gadz.org voila.fr caramail.com tiscali.fr infonie.fr nordnet.fr dbmail.com
libero.it virgilio.it alice.it tim.it tin.it tiscali.it iol.it inwind.it blu.it giallo.it fastwebnet.it teletu.it
vodafone.it email.it pec.it poste.it aruba.it katamail.com supereva.it
telefonica.net terra.es ono.com ya.com movistar.es orange.es jazztel.es euskaltel.net telecable.es wanadoo.es
sapo.pt mail.pt netcabo.pt clix.pt telepac.pt iol.pt portugalmail.pt vodafone.pt
ziggo.nl kpnmail.nl kpnplanet.nl planet.nl home.nl hetnet.nl casema.nl chello.nl upcmail.nl quicknet.nl telfort.nl
tele2.nl xs4all.nl solcon.nl zonnet.nl online.nl wxs.nl skynet.be telenet.be proximus.be belgacom.net scarlet.be
voo.be brutele.be pandora.be pt.lu internet.lu
bluewin.ch hispeed.ch sunrise.ch swissonline.ch quickline.ch tiscalinet.ch aon.at chello.at a1.net utanet.at
inode.at tele2.at kabsi.at drei.at
btinternet.com btopenworld.com talk21.com talktalk.net sky.com virginmedia.com virgin.net blueyonder.co.uk
ntlworld.com plusnet.com plus.com plus.net tiscali.co.uk o2.co.uk uwclub.net tesco.net freeserve.co.uk fsmail.net
lineone.net orange.net ee.co.uk eircom.net eir.ie indigo.ie iol.ie
telia.com bredband.net comhem.se spray.se tele2.se glocalnet.net swipnet.se home.se online.no broadpark.no
getmail.no c2i.net frisurf.no lyse.net tdcadsl.dk mail.dk stofanet.dk jubii.dk ofir.dk post.tele.dk youmail.dk
elisanet.fi kolumbus.fi luukku.com suomi24.fi pp.inet.fi welho.com saunalahti.fi simnet.is internet.is
wp.pl o2.pl onet.pl onet.eu interia.pl interia.eu poczta.onet.pl poczta.fm gazeta.pl op.pl vp.pl tlen.pl go2.pl
seznam.cz email.cz post.cz centrum.cz atlas.cz volny.cz quick.cz azet.sk centrum.sk post.sk zoznam.sk stonline.sk
freemail.hu citromail.hu t-online.hu indamail.hu vipmail.hu abv.bg mail.bg dir.bg mail.ru bk.ru list.ru inbox.ru
internet.ru xmail.ru yandex.ru yandex.com yandex.by yandex.kz yandex.ua yandex.com.tr ya.ru narod.ru rambler.ru
lenta.ru autorambler.ru myrambler.ru ro.ru pochta.ru ukr.net i.ua meta.ua bigmir.net online.ua inbox.lv inbox.lt
inbox.eu one.lv apollo.lv mail.ee hot.ee online.ee takas.lt delfi.lt net.hr inet.hr email.t-com.hr siol.net
mail.com.tr mynet.com superonline.com ttmail.com otenet.gr forthnet.gr hol.gr in.gr windowslive.gr
comcast.net verizon.net att.net sbcglobal.net bellsouth.net ameritech.net pacbell.net swbell.net prodigy.net
snet.net flash.net cox.net charter.net spectrum.net rr.com roadrunner.com twc.com optonline.net optimum.net
earthlink.net mindspring.com netzero.net netzero.com juno.com frontier.com frontiernet.net windstream.net
centurylink.net centurytel.net embarqmail.com q.com suddenlink.net cableone.net wowway.com tds.net excite.com
lycos.com usa.net peoplepc.com hughes.net sonic.net xfinity.com inbox.com mail2world.com email.us
rogers.com shaw.ca bell.net sympatico.ca telus.net videotron.ca cogeco.ca eastlink.ca mts.net sasktel.net nb.sympatico.ca
bol.com.br uol.com.br terra.com.br ig.com.br globo.com globomail.com oi.com.br r7.com zipmail.com.br
prodigy.net.mx telmex.com fibertel.com.ar speedy.com.ar arnet.com.ar ciudad.com.ar vtr.net une.net.co adinet.com.uy
bigpond.com bigpond.net.au optusnet.com.au optus.com.au iinet.net.au tpg.com.au internode.on.net dodo.com.au
westnet.com.au ozemail.com.au xtra.co.nz slingshot.co.nz orcon.net.nz vodafone.co.nz paradise.net.nz
qq.com vip.qq.com foxmail.com 163.com vip.163.com 126.com yeah.net 188.com sina.com sina.cn vip.sina.com sohu.com
vip.sohu.com tom.com 139.com wo.cn 189.cn 21cn.com aliyun.com netease.com hongkong.com netvigator.com i-cable.com
hinet.net msa.hinet.net pchome.com.tw seed.net.tw so-net.net.tw naver.com hanmail.net daum.net kakao.com nate.com
empal.com dreamwiz.com lycos.co.kr docomo.ne.jp ezweb.ne.jp au.com softbank.ne.jp i.softbank.jp ymobile.ne.jp
nifty.com biglobe.ne.jp so-net.ne.jp ocn.ne.jp plala.or.jp dion.ne.jp infoseek.jp excite.co.jp goo.jp
rediffmail.com rediff.com indiatimes.com sify.com in.com bsnl.in vsnl.net vsnl.com singnet.com.sg pacific.net.sg
streamyx.com tm.net.my pldtdsl.net walla.co.il walla.com 012.net.il netvision.net.il bezeqint.net emirates.net.ae
eim.ae maktoob.com mweb.co.za telkomsa.net webmail.co.za vodamail.co.za iafrica.com absamail.co.za
mailinator.com guerrillamail.com guerrillamail.net sharklasers.com 10minutemail.com temp-mail.org yopmail.com
yopmail.fr trashmail.com trashmail.de maildrop.cc getnada.com dispostable.com throwawaymail.com mailnesia.com
tempmail.com mohmal.com emailondeck.com spamgourmet.com mytemp.email moakt.com fakeinbox.com tempr.email
"""
PUBLIC_MAIL_DOMAINS = frozenset(_DOMAINS.split())
