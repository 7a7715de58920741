"""The fields of all messages: name, number, type and permitted values, for all versions in one table.

The facts are the standard's; `tables` parses this text at import and is the only reader. A field that
changed its name between versions goes by the latest one. In VALUES `|4.4` and `|FIXT` mark what that version added;
a field without a row, or whose row the standard leaves open to private agreement, takes any value of its type.
"""

from typing import Final

FIELDS: Final = {
    "INT": """
        EncryptMethod(98) CxlRejReason(102) OrdRejReason(103) HeartBtInt(108) NumDaysInterest(157) PutOrCall(201)
        CoveredOrUncovered(203) CustomerOrFirm(204) AllocHandlInst(209) RoutingType(216) RepurchaseTerm(226)
        UnderlyingRepurchaseTerm(244) LegRepurchaseTerm(251) UnderlyingPutOrCall(315) RefTagID(371)
        SessionRejectReason(373) ExecRestatementReason(378) BusinessRejectReason(380) PriceType(423) GTBookingInst(427)
        PartyRole(452) Product(460) UnderlyingProduct(462) ContAmtType(519) OwnerType(522) MassCancelRejectReason(532)
        TotalAffectedOrders(533) NestedPartyRole(538) CrossType(549) LegCoveredOrUncovered(565) AccountType(581)
        CustOrderCapacity(582) MassStatusReqType(585) LegProduct(607) PriorityIndicator(638) AcctIDSource(660)
        AllocAcctIDSource(661) BenchmarkPriceType(663) DeliveryForm(668) LegAllocAcctIDSource(674) LegSwapType(690)
        YieldRedemptionPriceType(698) Nested2PartyRole(759) TrdRegTimestampType(770) BookingType(775)
        TerminationType(788) PartySubIDType(803) NestedPartySubIDType(805) Nested2PartySubIDType(807) TrdType(828)
        TrdSubType(829) PegMoveType(835) PegOffsetType(836) PegLimitType(837) PegRoundDirection(838) PegScope(840)
        DiscretionMoveType(841) DiscretionOffsetType(842) DiscretionLimitType(843) DiscretionRoundDirection(844)
        DiscretionScope(846) TargetStrategy(847) LastLiquidityInd(851) QtyType(854) SecondaryTrdType(855) EventType(865)
        InstrAttribType(871) CPProgram(875) MiscFeeBasis(891) TotNumReports(911) DeliveryType(919) UserStatus(926)
        Nested3PartyRole(951) Nested3PartySubIDType(954) StrategyParameterType(959) PositionLimit(970)
        NTPositionLimit(971) UnderlyingSettlementType(975) OrderHandlingInstSource(1032) DeskTypeSource(1034)
        InstrumentPartyRole(1051) InstrumentPartySubIDType(1054) UnderlyingInstrumentPartyRole(1061)
        UnderlyingInstrumentPartySubIDType(1064) MaxPriceLevels(1090) PegPriceType(1094) ApplExtID(1156)
        ExerciseStyle(1194) ListMethod(1198) LegPutOrCall(1358) TotNoFills(1361) ContingencyType(1385)
        TradePublishIndicator(1390) EncryptedPasswordMethod(1400) RefApplExtID(1406) DefaultApplExtID(1407)
        SessionStatus(1409) Nested4PartySubIDType(1411) Nested4PartyRole(1417) UnderlyingExerciseStyle(1419)
        LegExerciseStyle(1420) ContractMultiplierUnit(1435) LegContractMultiplierUnit(1436)
        UnderlyingContractMultiplierUnit(1437) FlowScheduleType(1439) LegFlowScheduleType(1440)
        UnderlyingFlowScheduleType(1441) FillLiquidityInd(1443) RateSource(1446) RateSourceType(1447)
        TargetPartyRole(1464) NewsCategory(1473) NewsRefType(1477) StrikePriceDeterminationMethod(1478)
        StrikePriceBoundaryMethod(1479) UnderlyingPriceDeterminationMethod(1481) OptPayoutType(1482)
        ComplexEventType(1484) ComplexEventPriceBoundaryMethod(1487) ComplexEventPriceTimeType(1489)
        ComplexEventCondition(1490) ThrottleStatus(1609) ThrottleAction(1611) ThrottleType(1612) ThrottleNoMsgs(1613)
        ThrottleTimeInterval(1614) ThrottleTimeUnit(1615) SelfMatchPreventionInstruction(2964) RetryAfterMs(20101)
        Outcome(20102) AccountSeq(20105) CodGraceMs(20107) LimitRemaining(20111) SelfTradePreventionMode(25001)
        LimitType(25004) LimitCount(25005) LimitMax(25006) LimitResetInterval(25007) ErrorCode(25016)
        ResponseMode(25036)
    """,
    "SEQNUM": """
        BeginSeqNo(7) EndSeqNo(16) MsgSeqNum(34) NewSeqNo(36) RefSeqNum(45) LastMsgSeqNumProcessed(369) HopRefID(630)
        NextExpectedMsgSeqNum(789) ApplSeqNum(1181) ApplLastSeqNum(1350)
    """,
    "LENGTH": """
        BodyLength(9) SecureDataLen(90) SignatureLength(93) RawDataLength(95) XmlDataLen(212) EncodedIssuerLen(348)
        EncodedSecurityDescLen(350) EncodedTextLen(354) EncodedHeadlineLen(358) EncodedUnderlyingIssuerLen(362)
        EncodedUnderlyingSecurityDescLen(364) MaxMessageSize(383) EncodedLegIssuerLen(618)
        EncodedLegSecurityDescLen(621) SecurityXMLLen(1184) EncryptedPasswordLen(1401) EncryptedNewPasswordLen(1403)
        EncodedDocumentationTextLen(1525) EncodedEventTextLen(1578)
    """,
    "NUMINGROUP": """
        NoLinesOfText(33) NoOrders(73) NoAllocs(78) NoMiscFees(136) NoRelatedSym(146) NoRoutingIDs(215)
        NoStipulations(232) NoContraBrokers(382) NoMsgTypes(384) NoTradingSessions(386) NoPartyIDs(453)
        NoSecurityAltID(454) NoUnderlyingSecurityAltID(457) NoContAmts(518) NoAffectedOrders(534) NoNestedPartyIDs(539)
        NoLegs(555) NoLegSecurityAltID(604) NoHops(627) NoLegAllocs(670) NoLegStipulations(683) NoUnderlyings(711)
        NoNested2PartyIDs(756) NoTrdRegTimestamps(768) NoPartySubIDs(802) NoNestedPartySubIDs(804)
        NoNested2PartySubIDs(806) NoUsernames(809) NoEvents(864) NoInstrAttrib(870) NoUnderlyingStips(887)
        NoNested3PartyIDs(948) NoNested3PartySubIDs(952) NoStrategyParameters(957) NoInstrumentParties(1018)
        NoInstrumentPartySubIDs(1052) NoUndlyInstrumentParties(1058) NoUndlyInstrumentPartySubIDs(1062) NoFills(1362)
        NoNotAffectedOrders(1370) NoNested4PartySubIDs(1413) NoNested4PartyIDs(1414) NoRateSources(1445)
        NoTargetPartyIDs(1461) NoNewsRefIDs(1475) NoComplexEvents(1483) NoComplexEventDates(1491)
        NoComplexEventTimes(1494) NoThrottles(1610) NoThrottleMsgType(1618) NoLimitIndicators(25003)
    """,
    "DAYOFMONTH": "MaturityDay(205)",
    "PRICE": """
        AvgPx(6) LastPx(31) Price(44) StopPx(99) PrevClosePx(140) LastSpotRate(194) StrikePrice(202)
        BasisFeaturePrice(260) UnderlyingStrikePrice(316) DayAvgPx(426) LegPrice(566) LegStrikePrice(612) MidPx(631)
        LegLastPx(637) Price2(640) UnderlyingLastPx(651) BenchmarkPrice(662) LastParPx(669) YieldRedemptionPrice(697)
        UnderlyingPx(810) PeggedPrice(839) DiscretionPrice(845) EventPx(867) UnderlyingDirtyPrice(882)
        UnderlyingEndPrice(883) PeggedRefPrice(1095) TriggerPrice(1102) TriggerNewPrice(1110) CapPrice(1199)
        FloorPrice(1200) FillPx(1364) ComplexEventPrice(1486)
    """,
    "QTY": """
        CumQty(14) LastQty(32) OrderQty(38) AllocQty(80) CxlQty(84) MinQty(110) MaxFloor(111) LeavesQty(151)
        CashOrderQty(152) OrderQty2(192) MaxShow(210) DayOrderQty(424) DayCumQty(425) ContraTradeQty(437)
        UnderlyingLastQty(652) LegAllocQty(673) LegOrderQty(685) LegQty(687) UnderlyingQty(879)
        UnderlyingAdjustedQuantity(1044) CalculatedCcyLastQty(1056) LegCalculatedCcyLastQty(1074)
        SecondaryDisplayQty(1082) DisplayLowQty(1085) DisplayHighQty(1086) DisplayMinIncr(1087) RefreshQty(1088)
        MatchIncrement(1089) TriggerNewQty(1112) DisplayQty(1138) UnitOfMeasureQty(1147) PriceUnitOfMeasureQty(1192)
        LegUnitOfMeasureQty(1224) FillQty(1365) LegLastQty(1418) LegPriceUnitOfMeasureQty(1422)
        UnderlyingUnitOfMeasureQty(1423) UnderlyingPriceUnitOfMeasureQty(1425) InitialDisplayQty(1608)
        CumQuoteQty(25017)
    """,
    "AMT": """
        Commission(12) NetMoney(118) SettlCurrAmt(119) MiscFeeAmt(137) AccruedInterestAmt(159) TotalTakedown(237)
        Concession(238) GrossTradeAmt(381) InterestAtMaturity(738) UnderlyingStartValue(884) UnderlyingCurrentValue(885)
        UnderlyingEndValue(886) EndAccruedInterestAmt(920) StartCash(921) EndCash(922) UnderlyingCashAmount(973)
        UnderlyingCapValue(1038) LegGrossTradeAmt(1075) MinPriceIncrementAmount(1146) OptPayoutAmount(1195)
        ComplexOptPayoutAmount(1485)
    """,
    "PRICEOFFSET": """
        LastForwardPoints(195) PegOffsetValue(211) Spread(218) DiscretionOffsetValue(389) PriceImprovement(639)
        LastForwardPoints2(641) LastSwapPoints(1071) LegLastForwardPoints(1073)
    """,
    "FLOAT": """
        SettlCurrFxRate(155) Factor(228) ContractMultiplier(231) UnderlyingFactor(246) LegFactor(253)
        UnderlyingContractMultiplier(436) RoundingModulus(469) ExecPriceAdjustment(485) ContAmtValue(520)
        LegContractMultiplier(614) LegRatioQty(623) PriceDelta(811) TargetStrategyPerformance(850) StrikeMultiplier(967)
        StrikeValue(968) MinPriceIncrement(969) LegOptionRatio(1017) UnderlyingFXRate(1045) Volatility(1188)
        TimeToExpiration(1189) RiskFreeRate(1190) CommRate(1233) LegVolatility(1379) LegCurrencyRatio(1383)
        LimitRate(20110) RecvWindow(25000)
    """,
    "PERCENTAGE": """
        AccruedInterestRate(158) CouponRate(223) RepurchaseRate(227) Yield(236) UnderlyingRepurchaseRate(245)
        LegRepurchaseRate(252) UnderlyingCouponRate(435) OrderPercent(516) LegCouponRate(615) ParticipationRate(849)
        PctAtRisk(869) MarginRatio(898) UnderlyingAllocationPercent(972) DividendYield(1380) LegDividendYield(1381)
        NotionalPercentageOutstanding(1451) OriginalNotionalPercentageOutstanding(1452)
        UnderlyingNotionalPercentageOutstanding(1455) UnderlyingOriginalNotionalPercentageOutstanding(1456)
        AttachmentPoint(1457) DetachmentPoint(1458) UnderlyingAttachmentPoint(1459) UnderlyingDetachmentPoint(1460)
        StrikePriceBoundaryPrecision(1480) ComplexEventPriceBoundaryPrecision(1488)
    """,
    "BOOLEAN": """
        PossDupFlag(43) PossResend(97) ReportToExch(113) LocateReqd(114) ForexReq(121) GapFillFlag(123)
        ResetSeqNumFlag(141) TradedFlatSwitch(258) SolicitedFlag(377) TestMessageIndicator(464) PreviouslyReported(570)
        WorkingIndicator(636) CopyMsgIndicator(797) LastFragment(893) LastRptRequested(912) ManualOrderIndicator(1028)
        CustDirectedOrder(1029) AggressorIndicator(1057) PreTradeAnonymity(1091) FlexProductEligibilityIndicator(1242)
        FlexibleIndicator(1244) ApplResendFlag(1352) DontCancelOnDisconnect(9003) DropCopyFlag(9406) CodExempt(20103)
    """,
    "CHAR": """
        CommType(13) ExecTransType(20) HandlInst(21) LastCapacity(29) OrdStatus(39) OrdType(40) Rule80A(47) Side(54)
        TimeInForce(59) Urgency(61) PositionEffect(77) ProcessCode(81) ExecType(150) SettlCurrFxRateCalc(156)
        OptAttribute(206) UnderlyingOptAttribute(317) MsgDirection(385) DiscretionInst(388) CxlRejResponseTo(434)
        MultiLegReportingType(442) PartyIDSource(447) RoundingDirection(468) CancellationRights(480)
        MoneyLaunderingStatus(481) ExecPriceType(484) FundRenewWaiv(497) NestedPartyIDSource(525) OrderCapacity(528)
        MassCancelRequestType(530) MassCancelResponse(531) CashMargin(544) LegPositionEffect(564) DayBookingInst(589)
        BookingUnit(590) PreallocMethod(591) LegOptAttribute(613) LegSide(624) Nested2PartyIDSource(758)
        Nested3PartyIDSource(950) UnderlyingFXRateCalc(1046) InstrmtAssignmentMethod(1049) InstrumentPartyIDSource(1050)
        UnderlyingInstrumentPartyIDSource(1060) RefOrderIDSource(1081) DisplayWhen(1083) DisplayMethod(1084)
        PriceProtectionScope(1092) LotType(1093) TriggerType(1100) TriggerAction(1101) TriggerPriceType(1107)
        TriggerPriceTypeScope(1108) TriggerPriceDirection(1109) TriggerOrderType(1111) OrderCategory(1115)
        ExDestinationIDSource(1133) Nested4PartyIDSource(1416) VenueType(1430) TargetPartyIDSource(1463)
        CancelOrdersOnDisconnect(8013) CancelScope(20112) LimitResetIntervalResolution(25008)
    """,
    "MULTIPLEVALUESTRING": """
        ExecInst(18) OrderRestrictions(529) CustOrderHandlingInst(1031) DeskOrderHandlingInst(1035) LegExecInst(1384)
    """,
    "STRING": """
        Account(1) BeginString(8) CheckSum(10) ClOrdID(11) ExecID(17) ExecRefID(19) SecurityIDSource(22) IOIID(23)
        MsgType(35) OrderID(37) OrigClOrdID(41) RelatdSym(46) SecurityID(48) SenderCompID(49) SenderSubID(50) Symbol(55)
        TargetCompID(56) TargetSubID(57) Text(58) SettlType(63) SymbolSfx(65) ListID(66) AllocID(70) ExecBroker(76)
        AllocAccount(79) Issuer(106) SecurityDesc(107) ClientID(109) TestReqID(112) OnBehalfOfCompID(115)
        OnBehalfOfSubID(116) QuoteID(117) DeliverToCompID(128) DeliverToSubID(129) MiscFeeType(139)
        SenderLocationID(142) TargetLocationID(143) OnBehalfOfLocationID(144) DeliverToLocationID(145) Headline(148)
        URLLink(149) SecurityType(167) SecondaryOrderID(198) RoutingID(217) BenchmarkCurveName(221)
        BenchmarkCurvePoint(222) StipulationType(233) StipulationValue(234) YieldType(235)
        RepoCollateralSecurityType(239) UnderlyingRepoCollateralSecurityType(243) LegRepoCollateralSecurityType(250)
        CreditRating(255) UnderlyingCreditRating(256) LegCreditRating(257) MDEntryID(278)
        UnderlyingSecurityIDSource(305) UnderlyingIssuer(306) UnderlyingSecurityDesc(307) UnderlyingSecurityID(309)
        UnderlyingSecurityType(310) UnderlyingSymbol(311) UnderlyingSymbolSfx(312) TradingSessionID(336)
        ContraTrader(337) MessageEncoding(347) RefMsgType(372) ContraBroker(375) ComplianceID(376)
        BusinessRejectRefID(379) ClearingFirm(439) ClearingAccount(440) PartyID(448) SecurityAltID(455)
        SecurityAltIDSource(456) UnderlyingSecurityAltID(458) UnderlyingSecurityAltIDSource(459) CFICode(461)
        UnderlyingCFICode(463) IndividualAllocID(467) StateOrProvinceOfIssue(471) LocaleOfIssue(472) Designation(494)
        RegistID(513) PartySubID(523) NestedPartyID(524) SecondaryClOrdID(526) SecondaryExecID(527) AffectedOrderID(535)
        AffectedSecondaryOrderID(536) InstrRegistry(543) NestedPartySubID(545) CrossID(548) OrigCrossID(551)
        Username(553) Password(554) MatchType(574) ClOrdLinkID(583) MassStatusReqID(584) LegSettlType(587)
        UnderlyingStateOrProvinceOfIssue(593) UnderlyingLocaleOfIssue(594) UnderlyingInstrRegistry(595)
        LegStateOrProvinceOfIssue(597) LegLocaleOfIssue(598) LegInstrRegistry(599) LegSymbol(600) LegSymbolSfx(601)
        LegSecurityID(602) LegSecurityIDSource(603) LegSecurityAltID(605) LegSecurityAltIDSource(606) LegCFICode(608)
        LegSecurityType(609) LegIssuer(617) LegSecurityDesc(620) TradingSessionSubID(625) HopCompID(628)
        ClearingFeeIndicator(635) LegRefID(654) ContraLegRefID(655) LegAllocAccount(671) LegIndividualAllocID(672)
        LegStipulationType(688) LegStipulationValue(689) Pool(691) QuoteRespID(693) BenchmarkSecurityID(699)
        LegPool(740) Nested2PartyID(757) Nested2PartySubID(760) BenchmarkSecurityIDSource(761) SecuritySubType(762)
        UnderlyingSecuritySubType(763) LegSecuritySubType(764) TrdRegTimestampOrigin(771) OrdStatusReqID(790)
        TargetStrategyParameters(848) EventText(868) InstrAttribValue(872) CPRegType(876) UnderlyingCPProgram(877)
        UnderlyingCPRegType(878) TrdMatchID(880) UnderlyingStipType(888) UnderlyingStipValue(889) AgreementDesc(913)
        AgreementID(914) NewPassword(925) TimeBracket(943) Nested3PartyID(949) Nested3PartySubID(953)
        StrategyParameterName(958) StrategyParameterValue(960) HostCrossID(961) SecurityStatus(965)
        SettleOnOpenFlag(966) UnderlyingCashType(974) UnitOfMeasure(996) TimeUnit(997) UnderlyingUnitOfMeasure(998)
        LegUnitOfMeasure(999) UnderlyingTimeUnit(1000) LegTimeUnit(1001) TradeID(1003) InstrumentPartyID(1019)
        ReceivedDeptID(1030) DeskType(1033) UnderlyingSettlMethod(1039) InstrumentPartySubID(1053)
        UnderlyingInstrumentPartyID(1059) UnderlyingInstrumentPartySubID(1063) RefOrderID(1080)
        PegSecurityIDSource(1096) PegSecurityID(1097) PegSymbol(1098) PegSecurityDesc(1099) TriggerSymbol(1103)
        TriggerSecurityID(1104) TriggerSecurityIDSource(1105) TriggerSecurityDesc(1106) TriggerTradingSessionID(1113)
        TriggerTradingSessionSubID(1114) ApplVerID(1128) CstmApplVerID(1129) RefApplVerID(1130) RefCstmApplVerID(1131)
        DefaultApplVerID(1137) SecurityGroup(1151) QuoteMsgID(1166) ApplID(1180) SecurityXMLSchema(1186)
        PriceUnitOfMeasure(1191) SettlMethod(1193) PriceQuoteMethod(1196) ValuationMethod(1197) ProductComplex(1227)
        CommUnitOfMeasure(1238) MarketSegmentID(1300) RejectText(1328) FillExecID(1363) LegAllocID(1366)
        MassActionReportID(1369) NotAffectedOrderID(1371) NotAffOrigClOrdID(1372) DefaultCstmApplVerID(1408)
        Nested4PartySubID(1412) Nested4PartyID(1415) LegPriceUnitOfMeasure(1421) UnderlyingPriceUnitOfMeasure(1424)
        ReferencePage(1448) RestructuringType(1449) Seniority(1450) UnderlyingRestructuringType(1453)
        UnderlyingSeniority(1454) TargetPartyID(1462) NewsID(1472) NewsRefID(1476) DocumentationText(1513)
        SwapSubClass(1575) SettlRateIndex(1577) SettlRateIndexLocation(1580) OptionExpirationDesc(1581)
        LegSecurityGroup(1594) ThrottleMsgType(1619) SelfMatchPreventionID(2362) ReqID(6136) StreamEpoch(20106)
        LimitName(20108) LimitScope(20109)
    """,
    "CURRENCY": """
        Currency(15) SettlCurrency(120) MiscFeeCurr(138) BenchmarkCurveCurrency(220) UnderlyingCurrency(318)
        CommCurrency(479) ContAmtCurr(521) LegCurrency(556) LegSettlCurrency(675) AllocSettlCurrency(736)
        AgreementCurrency(918) UnderlyingStrikeCurrency(941) LegStrikeCurrency(942) StrikeCurrency(947)
        LegAllocSettlCurrency(1367) PriceQuoteCurrency(1524) UnderlyingPriceQuoteCurrency(1526)
        LegPriceQuoteCurrency(1528)
    """,
    "COUNTRY": "CountryOfIssue(470) UnderlyingCountryOfIssue(592) LegCountryOfIssue(596)",
    "EXCHANGE": """
        LastMkt(30) ExDestination(100) SecurityExchange(207) UnderlyingSecurityExchange(308) LegSecurityExchange(616)
        MarketID(1301)
    """,
    "LANGUAGE": "LanguageCode(1474)",
    "UTCTIMESTAMP": """
        OrigTime(42) SendingTime(52) TransactTime(60) OrigSendingTime(122) ExpireTime(126) EffectiveTime(168)
        OnBehalfOfSendingTime(370) ContraTradeTime(438) TransBkdTime(483) ExecValuationPoint(515) OrigOrdModTime(586)
        HopSendingTime(629) TrdRegTimestamp(769) EventTime(1145) GatewayRecvTime(20104)
    """,
    "UTCTIMEONLY": "ComplexEventStartTime(1495) ComplexEventEndTime(1496)",
    "UTCDATEONLY": "ComplexEventStartDate(1492) ComplexEventEndDate(1493)",
    "LOCALMKTDATE": """
        SettlDate(64) TradeDate(75) SettlDate2(193) CouponPaymentDate(224) IssueDate(225) TradeOriginationDate(229)
        ExDate(230) RedemptionDate(240) UnderlyingCouponPaymentDate(241) UnderlyingIssueDate(242)
        UnderlyingRedemptionDate(247) LegCouponPaymentDate(248) LegIssueDate(249) LegRedemptionDate(254)
        BasisFeatureDate(259) ExpireDate(432) MaturityDate(541) UnderlyingMaturityDate(542) LegSettlDate(588)
        LegMaturityDate(611) YieldRedemptionDate(696) YieldCalcDate(701) LegDatedDate(739) EventDate(866) DatedDate(873)
        InterestAccrualDate(874) AgreementDate(915) StartDate(916) EndDate(917) LegInterestAccrualDate(956)
    """,
    "MONTHYEAR": """
        MaturityMonthYear(200) UnderlyingMaturityMonthYear(313) LegMaturityMonthYear(610) ContractSettlMonth(667)
        LegContractSettlMonth(955)
    """,
    "TZTIMEONLY": "MaturityTime(1079) LegMaturityTime(1212) UnderlyingMaturityTime(1213)",
    "DATA": """
        Signature(89) SecureData(91) RawData(96) XmlData(213) EncodedIssuer(349) EncodedSecurityDesc(351)
        EncodedText(355) EncodedHeadline(359) EncodedUnderlyingIssuer(363) EncodedUnderlyingSecurityDesc(365)
        EncodedLegIssuer(619) EncodedLegSecurityDesc(622) SecurityXML(1185) EncryptedPassword(1402)
        EncryptedNewPassword(1404) EncodedDocumentationText(1527) EncodedEventText(1579)
    """,
}
"""Data type -> the fields that have it."""

VALUES: Final = """
13: 1-3 |4.4 4-6 |FIXT 7 8  18: 0-9 A-G I L-P R-W |4.4 H J K Q X-Z a-e |FIXT f-z  20: 0-3  21: 1-3  29: 1-4 |FIXT 5
39: 0-9 A-E  40: 1-9 A-I P |4.4 J-M |FIXT Q-S  47: A-F H-P R-U W-Z  54: 1-9 |4.4 A-G |FIXT H
59: 0-6 |4.4 7 |FIXT 8 9 A-C  61: 0-2  63: 0-9 |FIXT B C  77: C O |4.4 F R |FIXT D N  81: 0-6  98: 0-6  102: 0-8 18 99
103: 0-16 18-29 99  150: 0-9 A-E |4.4 F-I |FIXT J-N  156: |4.4 D M
167: ? BA CB CD CP CS FN GN MF PS RP SL TD CMO CPP FHA FHL FOR FUT IET MIO MPO MPP MPT OPT WAR ZOO CORP GOVT MUNI NONE
RVRP USTB |4.4 AN BN CL DN GO MT PN ABS BOX FAC LQN MBS MTN PEF RAN REV STN TAN TBA UST XCN YCD CMBS COFO COFP DINP DUAL
EUCD EUCP FADN LOFC MLEG PZFJ REPO RVLV TAXA TCAL TECP TERM TINT TIPS TPRN TRAN VRDN YANK BRADY EUSOV ONITE PFAND SPCLA
SPCLO SPCLT SUPRA SWING TBILL TBOND TNOTE BRIDGE EUCORP STRUCT XLINKD AMENDED BUYSELL DEFLTED EUSUPRA FORWARD MATURED
REPLACD RETIRED RVLVTRM SECLOAN WITHDRN SECPLEDGE |FIXT CN DR MN TB BAB BDN CAN CAP CDS CFD CMB CTB ETC ETF ETN FLR FRA
FRN FWD IRS JCD MMF NCD NCP OOC OOF OOP RCD SFP SOV TDR TMB TRS BNST CAMM CASH CLCP CLLR CPIB EUTD FXBN FXDN PROV SLQN
TFRN TLQN TMCP VRDO EQFWD EUFRN EUMTN EUNCP FXFWD FXNDF FXNDS INDEX MCPIB Other BDBSKT DVPLDG EQBSKT EXOTIC FXSPOT
FXSWAP PRCORP DIGITAL EUSTLQN FUTSWAP FWDSWAP SPOTFWD VARSWAP COLLBSKT MRGNLOAN RTRNSWAP SECDERIV SWAPTION XMISSION
CMDTYSWAP CRLTNSWAP DIMSUMSOV DVDNDSWAP LOANLEASE SPREADBET DIMSUMCORP FWDFRTAGMT PRTFLIOSWAP
201: 0 1 |FIXT 2 3  203: 0 1  204: 0 1  209: 1-4  216: 1-4 |FIXT 5 6  373: 0-18 99  378: 0-20 99  380: 0-10 18  385: R S
388: 0-5 |4.4 6 |FIXT 7  423: 1-11 |FIXT 12-25  427: 0-2  434: 1 2  442: 1-3  468: 0-2  480: M-O Y  481: 1-3 N Y
484: B-E O-Q S  497: N Y  519: 1-15  522: 1-22  528: A G I P R W |FIXT M  529: 1-9 A |FIXT B-I  530: 1-7 |FIXT 8 9 A-C
531: 0-9 A-C  532: 0-11 99  544: 1-3  549: 1-4 |FIXT 5-9  581: 1-4 6-8 |FIXT 9-13  582: 1-4 |FIXT 5  585: 1-8 |FIXT 9 10
589: 0-2  590: 0-2  591: 0 1  635: 1-5 9 B C E F H I L M  638: 0 1  660: 1-5 99 |FIXT 6  668: 1 2  690: 1 2 4 5
775: 0-2  788: 1-4  835: 0 1  836: 0-3 |FIXT 4  837: 0-2  838: 1 2  840: 1-4  841: 0 1  842: 0-3  843: 0-2  844: 1 2
846: 1-4  847: 1-3  851: 0-11  854: 0 1 |FIXT 2  875: 1 2 99 |FIXT 3-8  891: 0-2  919: 0-3 |FIXT 4  926: 1-9  965: 1-11
975: 2 4 5  1032: 1 2  1034: 1  1046: D M  1049: P R  1081: 0-9 A  1083: 1 2  1084: 1-4  1092: 0-3  1093: 1-4
1094: 1-5 7-10  1100: 1-5  1101: 1-3  1107: 1-6  1108: 0-3  1109: D U  1111: 1 2  1115: 1-9 A  1133: B-E G  1193: C E P
1194: 0-2 99  1196: INT INX STD PCTPAR  1197: CDS FUT CDSD EQTY FUTDA  1198: 0 1  1385: 1-6  1390: 0-3  1409: 0-10
1430: A-E H N-R V X z  1435: 0-2  1446: 0-3 99  1447: 0 1  1449: FR MM MR XR  1450: JR MZ SB SD SN SR  1473: 0-3 99
1477: 0-3  1478: 1-4  1479: 1-5  1481: 1-4  1482: 1-8 99  1487: 1-5  1489: 1-8  1490: 1 2
1575: ACRT AMTZ CNST COMP CUST  1609: 0 1  1611: 0-4  1612: 0 1  2964: 1-3  8013: N S Y  20102: 0 1  20112: A S
25001: 1-5  25004: 1-5  25036: 1 2
"""
"""Number: the permitted values; `1-9` and `A-G` are runs."""
