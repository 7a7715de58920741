"""The layout of every message, per version, and what else each version of the standard defines.

Rows are `MsgType Name [required tags]: body tags`; `@Name` is a component, `78(79 80)` a repeating group in its wire
order with the delimiter first, `!` a member that each entry needs. Required is what Penstock demands, less than the
standard does. `tables` parses this text.
"""

from typing import Final

FIX_4_2: Final = """
header: 8 9 35 49 56 115 128 90 91 34 50 142 57 143 116 144 129 145 43 97 52 122 212 213 347 369 370
trailer: 93 89 10
@Instrument: 55 65 48 22 167 200 205 201 202 206 231 223 207 106 348 349 107 350 351
0 Heartbeat: 112
1 TestRequest [112]: 112
2 ResendRequest [7 16]: 7 16
3 Reject [45]: 45 371 372 373 58 354 355
4 SequenceReset [36]: 123 36
5 Logout: 58 354 355
8 ExecutionReport [6 14 17 20 37 39 54 55 150 151]: 37 198 11 41 109 76 382(375 337 437 438) 66 17 20 19 150 39 103 378
    1 63 64 @Instrument 54 38 152 40 44 99 211 388 389 15 376 377 59 168 432 126 18 47 32 31 194 195 30 336 29 151 14 6
    424 425 426 427 75 60 113 12 13 381 119 120 155 156 21 110 111 77 210 58 354 355 193 192 439 440 442
9 OrderCancelReject [11 37 39 434]: 37 198 11 41 39 109 76 66 1 60 434 102 58 354 355
A Logon [98 108]: 98 108 95 96 141 383 384(372 385)
B News [148]: 42 61 148 358 359 215(216 217) 146(46 65 48 22 167 200 205 201 202 206 231 223 207 106 348 349 107 350
    351) 33(58! 354 355) 149 95 96
D NewOrderSingle [11 40 54 55]: 11 109 76 1 78(79 80) 63 64 21 18 110 111 100 386(336) 81 @Instrument 140 54 114 60 38
    152 40 44 99 15 376 377 23 117 59 168 432 126 427 12 13 47 121 120 58 354 355 193 192 77 203 204 210 211 388 389 439
    440
F OrderCancelRequest [11 55]: 41 37 11 66 1 109 76 @Instrument 54 60 38 152 376 377 58 354 355
G OrderCancelReplaceRequest [11 38 55]: 37 109 76 41 11 66 1 78(79 80) 63 64 21 18 110 111 100 386(336) @Instrument 54
    60 38 152 40 44 99 211 388 389 376 377 15 59 168 432 126 427 12 13 47 121 120 58 354 355 193 192 77 203 204 210 114
    439 440
H OrderStatusRequest: 37 11 109 1 76 @Instrument 54
j BusinessMessageReject [372 380]: 45 372 379 380 58 354 355
"""

COMPONENTS: Final = """
@PtysSubGrp: 802(523 803)
@Parties: 453(448 447 452 @PtysSubGrp)
@ContraGrp: 382(375 337 437 438 655)
@SecAltIDGrp: 454(455 456)
@UndSecAltIDGrp: 457(458 459)
@UnderlyingStipulations: 887(888 889)
@UndInstrmtGrp: 711(@UnderlyingInstrument)
@Stipulations: 232(233 234)
@OrderQtyData: 38 152 516 468 469
@DiscretionInstructions: 388 389 841 842 843 844 846
@SpreadOrBenchmarkCurveData: 218 220 221 222 662 663 699 761
@YieldData: 235 236 701 696 697 698
@ContAmtGrp: 518(519 520 521)
@LegSecAltIDGrp: 604(605 606)
@LegStipulations: 683(688 689)
@NstdPtysSubGrp: 804(545 805)
@NestedParties: 539(524 525 538 @NstdPtysSubGrp)
@MiscFeesGrp: 136(137 138 139 891)
@RoutingGrp: 215(216 217)
@InstrmtLegGrp: 555(@InstrumentLeg)
@LinesOfTextGrp: 33(58! 354 355)
@TrdgSesGrp: 386(336 625)
"""
"""The components that are the same in FIX.4.4 and FIX.5.0SP2."""

FIX_4_4: Final = """
header: 8 9 35 49 56 115 128 90 91 34 50 142 57 143 116 144 129 145 43 97 52 122 212 213 347 369 627(628 629 630)
trailer: 93 89 10
@EvntGrp: 864(865 866 867 868)
@Instrument: 55 65 48 22 @SecAltIDGrp 460 461 167 762 200 541 201 224 225 239 226 227 228 255 543 470 471 472 240 202
    947 206 231 223 207 106 348 349 107 350 351 691 667 875 876 @EvntGrp 873 874
@FinancingDetails: 913 914 915 918 788 916 917 919 898
@UnderlyingInstrument: 311 312 309 305 @UndSecAltIDGrp 462 463 310 763 313 542 315 241 242 243 244 245 246 256 595 592
    593 594 247 316 941 317 436 435 308 306 362 363 307 364 365 877 878 318 879 810 882 883 884 885 886
    @UnderlyingStipulations
@PegInstructions: 211 835 836 837 838 840
@CommissionData: 12 13 479 497
@InstrumentLeg: 600 601 602 603 @LegSecAltIDGrp 607 608 609 764 610 611 248 249 250 251 252 253 257 599 596 597 598 254
    612 942 613 614 615 616 617 618 619 620 621 622 623 624 556 740 739 955 956
@InstrmtLegExecGrp: 555(@InstrumentLeg 687 690 @LegStipulations 564 565 @NestedParties 654 566 587 588 637)
@InstrmtGrp: 146(@Instrument)
@PreAllocGrp: 78(79 661 736 467 @NestedParties 80)
@AffectedOrdGrp: 534(41 535 536)
0 Heartbeat: 112
1 TestRequest [112]: 112
2 ResendRequest [7 16]: 7 16
3 Reject [45]: 45 371 372 373 58 354 355
4 SequenceReset [36]: 123 36
5 Logout: 58 354 355
8 ExecutionReport [6 14 17 37 39 54 55 150 151]: 37 198 526 527 11 41 583 693 790 584 911 912 @Parties 229 @ContraGrp 66
    548 551 549 17 19 150 39 636 103 378 1 660 581 589 590 591 63 64 544 635 @Instrument @FinancingDetails
    @UndInstrmtGrp 54 @Stipulations 854 @OrderQtyData 40 423 44 99 @PegInstructions @DiscretionInstructions 839 845 847
    848 849 850 15 376 377 59 168 432 126 18 528 529 582 32 652 31 651 669 194 195 30 336 625 943 29 151 14 6 424 425
    426 427 75 60 113 @CommissionData @SpreadOrBenchmarkCurveData @YieldData 381 157 230 158 159 738 920 921 922 258 259
    260 238 237 118 119 120 155 156 21 110 111 77 210 775 58 354 355 193 192 641 442 480 481 513 494 483 515 484 485 638
    639 851 @ContAmtGrp @InstrmtLegExecGrp 797 @MiscFeesGrp
9 OrderCancelReject [11 37 39 434]: 37 198 526 11 583 41 39 636 586 66 1 660 581 229 75 60 434 102 58 354 355
A Logon [98 108]: 98 108 95 96 141 789 383 384(372 385) 464 553 554
B News [148]: 42 61 148 358 359 @RoutingGrp @InstrmtGrp @InstrmtLegGrp @UndInstrmtGrp @LinesOfTextGrp 149 95 96
D NewOrderSingle [11 40 54 55]: 11 526 583 @Parties 229 75 1 660 581 589 590 591 70 @PreAllocGrp 63 64 544 635 21 18 110
    111 100 @TrdgSesGrp 81 @Instrument @FinancingDetails @UndInstrmtGrp 140 54 114 60 @Stipulations 854 @OrderQtyData 40
    423 44 99 @SpreadOrBenchmarkCurveData @YieldData 15 376 377 23 117 59 168 432 126 427 @CommissionData 528 529 582
    121 120 775 58 354 355 193 192 640 77 203 210 @PegInstructions @DiscretionInstructions 847 848 849 480 481 513 494
F OrderCancelRequest [11 55]: 41 37 11 526 583 66 586 1 660 581 @Parties @Instrument @FinancingDetails @UndInstrmtGrp 54
    60 @OrderQtyData 376 58 354 355
G OrderCancelReplaceRequest [11 38 55]: 37 @Parties 229 75 41 11 526 583 66 586 1 660 581 589 590 591 70 @PreAllocGrp 63
    64 544 635 21 18 110 111 100 @TrdgSesGrp @Instrument @FinancingDetails @UndInstrmtGrp 54 60 854 @OrderQtyData 40 423
    44 99 @SpreadOrBenchmarkCurveData @YieldData @PegInstructions @DiscretionInstructions 847 848 849 376 377 15 59 168
    432 126 427 @CommissionData 528 529 582 121 120 775 58 354 355 193 192 640 77 203 210 114 480 481 513 494
H OrderStatusRequest: 37 11 526 583 @Parties 790 1 660 @Instrument @FinancingDetails @UndInstrmtGrp 54
j BusinessMessageReject [372 380]: 45 372 379 380 58 354 355
CB UserNotification [926]: 926 1610(1611 1612 1613 1614 1615 1618(1619)) 58 354 355
q OrderMassCancelRequest [11 530]: 11 526 530 336 625 @Instrument @UnderlyingInstrument 54 60 58 354 355
r OrderMassCancelReport [530 531]: 11 526 37 198 530 531 532 533 @AffectedOrdGrp 336 625 @Instrument
    @UnderlyingInstrument 54 60 58 354 355
AF OrderMassStatusRequest [584 585]: 584 585 @Parties 1 660 336 625 @Instrument @UnderlyingInstrument 54
"""

FIXT_1_1: Final = """
header: 8 9 35 1128 1156 1129 49 56 115 128 90 91 34 50 142 57 143 116 144 129 145 43 97 52 122 212 213 347 369 627(628
    629 630)
trailer: 93 89 10
@ApplicationSequenceControl: 1180 1181 1350 1352
@TargetParties: 1461(1462 1463 1464)
@PreAllocGrp: 78(79 661 736 467 @NestedParties 209 80)
@SecurityXML: 1184 1185 1186
@EvntGrp: 864(865 866 1145 867 868 1578 1579)
@InstrumentPtysSubGrp: 1052(1053 1054)
@InstrumentParties: 1018(1019 1050 1051 @InstrumentPtysSubGrp)
@ComplexEventTimes: 1494(1495 1496)
@ComplexEventDates: 1491(1492 1493 @ComplexEventTimes)
@ComplexEvents: 1483(1484 1485 1486 1487 1488 1489 1490 @ComplexEventDates)
@Instrument: 55 65 48 22 @SecAltIDGrp 460 1227 1151 461 167 762 200 541 1079 966 1049 965 224 1449 1450 1451 1452 1457
    1458 1575 1577 1580 1581 225 239 226 227 228 255 543 470 471 472 240 202 947 967 968 1478 1479 1480 1481 206 231
    1435 1439 969 1146 996 1147 1191 1192 1193 1194 1482 1195 1196 1197 1524 1198 1199 1200 201 1244 1242 997 223 207
    970 971 106 348 349 107 350 351 @SecurityXML 691 667 875 876 @EvntGrp 873 874 @InstrumentParties @ComplexEvents
@FinancingDetails: 913 914 915 918 1513 1525 1527 788 916 917 919 898
@UndlyInstrumentPtysSubGrp: 1062(1063 1064)
@UndlyInstrumentParties: 1058(1059 1060 1061 @UndlyInstrumentPtysSubGrp)
@UnderlyingInstrument: 311 312 309 305 @UndSecAltIDGrp 462 463 310 763 313 542 1213 241 1453 1454 1455 1456 1459 1460
    242 243 244 245 246 256 595 592 593 594 247 316 941 317 436 1437 1441 998 1423 1424 1425 1000 1419 1526 435 308 306
    362 363 307 364 365 877 878 972 318 879 975 973 974 810 882 883 884 885 886 @UnderlyingStipulations 1044 1045 1046
    1038 @UndlyInstrumentParties 1039 315
@TriggeringInstruction: 1100 1101 1102 1103 1104 1105 1106 1107 1108 1109 1110 1111 1112 1113 1114
@PegInstructions: 211 1094 835 836 837 838 840 1096 1097 1098 1099
@StrategyParametersGrp: 957(958 959 960)
@NstdPtys4SubGrp: 1413(1412 1411)
@NestedParties4: 1414(1415 1416 1417 @NstdPtys4SubGrp)
@FillsGrp: 1362(1363 1364 1365 1443 @NestedParties4)
@CommissionData: 12 13 479 1233 1238 497
@RateSource: 1445(1446 1447 1448)
@DisplayInstruction: 1138 1082 1608 1083 1084 1085 1086 1087 1088
@InstrumentLeg: 600 601 602 603 @LegSecAltIDGrp 607 1594 608 609 764 610 611 1212 248 249 250 251 252 253 257 599 596
    597 598 254 612 942 613 614 1436 1440 999 1224 1421 1422 1001 1420 1528 615 616 617 618 619 620 621 622 623 624 556
    740 739 955 956 1358 1017 566
@NstdPtys2SubGrp: 806(760 807)
@NestedParties2: 756(757 758 759 @NstdPtys2SubGrp)
@LegPreAllocGrp: 670(671 672 @NestedParties2 673 674 1367)
@NstdPtys3SubGrp: 952(953 954)
@NestedParties3: 948(949 950 951 @NstdPtys3SubGrp)
@InstrmtLegExecGrp: 555(@InstrumentLeg 685 687 690 @LegStipulations 1366 @LegPreAllocGrp 564 565 @NestedParties3 654 587
    588 637 675 1073 1074 1075 1379 1381 1383 1384 1418)
@TrdRegTimestamps: 768(769 770 771 1033 1034 1035)
@NewsRefGrp: 1475(1476 1477)
@AttrbGrp: 870(871 872)
@InstrumentExtension: 668 869 @AttrbGrp
@InstrmtGrp: 146(@Instrument @InstrumentExtension @FinancingDetails)
@AffectedOrdGrp: 534(535 536)
@NotAffectedOrdGrp: 1370(1372 1371)
@UsernameGrp: 809(553)
@ThrottleMsgTypeGrp: 1618(1619)
@ThrottleParamsGrp: 1610(1611 1612 1613 1614 1615 @ThrottleMsgTypeGrp)
0 Heartbeat: 112
1 TestRequest [112]: 112
2 ResendRequest [7 16]: 7 16
3 Reject [45]: 45 371 372 1130 1406 1131 373 58 354 355
4 SequenceReset [36]: 123 36
5 Logout: 1409 58 354 355
A Logon [98 108 1137]: 98 108 95 96 141 789 383 464 553 554 925 1400 1401 1402 1403 1404 1409 1137 1407 1408 58 354 355
8 ExecutionReport [6 14 17 37 39 54 55 150 151]: @ApplicationSequenceControl 37 198 526 527 11 1166 41 583 278 693 790
    584 961 911 912 @Parties @TargetParties 229 @ContraGrp 66 548 551 549 880 17 19 150 39 636 103 1328 378 828 829 855
    570 1 660 581 589 590 591 70 @PreAllocGrp 63 64 574 1115 544 635 @Instrument @FinancingDetails @UndInstrmtGrp 54
    @Stipulations 854 @OrderQtyData 1093 40 423 44 1092 99 @TriggeringInstruction @PegInstructions
    @DiscretionInstructions 839 1095 845 847 @StrategyParametersGrp 848 849 850 15 376 377 59 168 432 126 18 1057 528
    529 1091 1390 582 32 1056 1071 652 31 651 669 631 194 195 30 1430 1300 100 1133 336 625 943 29 151 14 84 6 424 425
    426 1361 893 @FillsGrp 427 75 60 113 @CommissionData @SpreadOrBenchmarkCurveData @YieldData 381 157 230 158 159 738
    920 921 922 258 259 260 238 237 118 119 120 @RateSource 155 156 21 110 1089 1090 @DisplayInstruction 111 77 210 775
    58 354 355 193 192 641 442 1385 480 481 513 494 483 515 484 485 638 639 851 @ContAmtGrp @InstrmtLegExecGrp 797
    @MiscFeesGrp 1380 1028 1029 1030 1031 1032 522 @TrdRegTimestamps 1188 1189 1190 811 1609 1080 1081
9 OrderCancelReject [11 37 39 434]: 37 198 526 11 583 41 39 636 586 66 1 660 581 229 75 60 434 102 1328 100 1133
    @Parties 58 354 355
B News [148]: @ApplicationSequenceControl 1472 @NewsRefGrp 1473 1474 42 61 148 358 359 @RoutingGrp 1301 1300 @InstrmtGrp
    @InstrmtLegGrp @UndInstrmtGrp @LinesOfTextGrp 149 95 96
D NewOrderSingle [11 40 54 55]: 11 526 583 @Parties @TargetParties 229 75 1 660 581 589 590 591 70 @PreAllocGrp 63 64
    544 635 21 18 110 1089 1090 @DisplayInstruction 111 1300 100 1133 @TrdgSesGrp 81 @Instrument @FinancingDetails
    @UndInstrmtGrp 140 54 114 60 @Stipulations 854 @OrderQtyData 40 423 44 1092 99 @TriggeringInstruction
    @SpreadOrBenchmarkCurveData @YieldData 15 376 377 797 23 117 59 168 432 126 427 @CommissionData 528 529 1091 1390
    582 121 120 @RateSource 775 58 354 355 193 192 640 77 203 210 @PegInstructions @DiscretionInstructions 847
    @StrategyParametersGrp 848 849 480 481 513 494 1028 1029 1030 1031 1032 522 @TrdRegTimestamps 1080 1081
F OrderCancelRequest [11 55]: 41 37 11 526 583 66 586 1 660 581 @Parties @Instrument @FinancingDetails @UndInstrmtGrp
    1300 100 1133 54 60 @OrderQtyData 376 58 354 355
G OrderCancelReplaceRequest [11 38 55]: 37 @Parties @TargetParties 229 75 41 11 526 583 66 586 1 660 581 589 590 591 70
    @PreAllocGrp 63 64 544 635 21 18 110 1089 1090 @DisplayInstruction 111 1300 100 1133 @TrdgSesGrp @Instrument
    @FinancingDetails @UndInstrmtGrp 54 60 @Stipulations 854 @OrderQtyData 40 423 44 1092 99 @TriggeringInstruction
    @SpreadOrBenchmarkCurveData @YieldData @PegInstructions @DiscretionInstructions 847 @StrategyParametersGrp 848 849
    376 377 15 59 168 432 126 427 @CommissionData 528 529 1091 1390 582 121 120 @RateSource 775 58 354 355 193 192 640
    77 203 210 114 480 481 513 494 1028 1029 1030 1031 1032 522 @TrdRegTimestamps
H OrderStatusRequest: 37 11 526 583 @Parties 790 1 660 @Instrument @FinancingDetails @UndInstrmtGrp 1300 54
j BusinessMessageReject [372 380]: 45 372 1130 1406 1131 379 380 58 354 355
q OrderMassCancelRequest [11 530]: 11 526 530 336 625 @Parties @TargetParties @Instrument @UnderlyingInstrument 1301
    1300 54 60 58 354 355
r OrderMassCancelReport [530 531]: 11 526 37 1369 198 530 531 532 533 @AffectedOrdGrp @NotAffectedOrdGrp 336 625
    @Parties @TargetParties @Instrument @UnderlyingInstrument 1301 1300 54 60 58 354 355
AF OrderMassStatusRequest [584 585]: 584 585 @Parties @TargetParties 1 660 336 625 @Instrument @UnderlyingInstrument 54
CB UserNotification [926]: @UsernameGrp 926 @ThrottleParamsGrp 58 354 355
"""

LAYOUTS: Final = {"FIX.4.2": FIX_4_2, "FIX.4.4": FIX_4_4 + COMPONENTS, "FIXT.1.1": FIXT_1_1 + COMPONENTS}
"""The standard's messages by version; FIXT.1.1 carries FIX.5.0SP2. UserNotification(CB) is lent to FIX.4.4."""

EXTENSIONS: Final = """
3 Reject: 25016
5 Logout: 1409 9003 25016
8 ExecutionReport: 851 1003 20101 20102 20104 20105 25016 25017
9 OrderCancelReject: 20101 20102 20104 20105 25016
A Logon: 58 1409 8013 9406 20105 20106 20107 25000 25016 25036
D NewOrderSingle: 2362 2964 20103 25000 25001
F OrderCancelRequest: 25000
G OrderCancelReplaceRequest: 25000
j BusinessMessageReject: 20101 20102 25016
q OrderMassCancelRequest: 20112 25000
r OrderMassCancelReport: 1369 20101 20102 20104 20105 25016
"""
"""What Penstock adds to messages of the standard, in every version that has them."""

OWN_MESSAGES: Final = """
XLQ LimitQuery [6136]: 6136
XLR LimitResponse [6136 25003]: 6136 25003(25004 25005 25006 25007 25008 20108 20109 20110 20111)
"""
"""The messages that are ours alone, in every version."""

MSG_TYPES: Final = {
    "FIX.4.2": "0-9 A-H J-N P-T V-Z a-m",
    "FIX.4.4": "0-9 A-H J-N P-T V-Z a-z AA-AZ BA-BH",
    "FIXT.1.1": "0-9 A-H J-N P-T V-Z a-z AA-AZ BA-BZ CA-CO CQ-CZ DA-DZ EA EB",
}
"""All MsgType(35) of each version: what is here but has no layout is legal and not served."""

KNOWN_TAGS: Final = {
    "FIX.4.2": "1-100 102-219 223 231 262-446",
    "FIX.4.4": """
        1-19 21-23 25-45 48-50 52-75 77-85 87-91 93-100 102-104 106-108 110-124 126-165 167-172 188-203 206-218 220-260
        262-313 315-318 320-369 371-438 441-448 451-464 466-652 654-684 686-808 810-830 832-956
    """,
    "FIXT.1.1": """
        1-19 21-23 25-45 48-50 52-75 77-85 87-91 93-100 102-104 106-108 110-124 126-165 167-172 188-203 206-218 220-260
        262-313 315-318 320-369 371-438 441-448 451-464 466-652 654-830 832-994 996-1003 1005-1009 1011-1075 1079-1306
        1308-1358 1361-2849 2851 2862-2874 2876-2964
    """,
}
"""All tags of each version below 5000: what is here but not in a message's layout does not belong there."""
