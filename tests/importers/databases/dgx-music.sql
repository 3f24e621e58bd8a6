PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE generations (
	id VARCHAR NOT NULL, 
	prompt TEXT NOT NULL, 
	model_name VARCHAR NOT NULL, 
	model_version VARCHAR, 
	duration_seconds FLOAT NOT NULL, 
	sample_rate INTEGER NOT NULL, 
	channels INTEGER NOT NULL, 
	file_path VARCHAR NOT NULL, 
	file_size_bytes INTEGER, 
	status VARCHAR NOT NULL, 
	created_at DATETIME NOT NULL, 
	completed_at DATETIME, 
	generation_time_seconds FLOAT, 
	error_message TEXT, 
	metadata TEXT, 
	PRIMARY KEY (id)
);
INSERT INTO generations VALUES('8e2b7c79-9ea4-4ae5-8b90-db1e9eab8b32','hip hop beat at 140 BPM','musicgen-small','1.0',16.0,32000,2,'outputs/x.wav',5242880,'completed','2026-11-28 06:00:43.937110','2026-11-28 06:00:43.955521',18.5,NULL,'{"bpm": 140, "genre": "hip hop", "key": "Cm", "nested": {"a": [1, null]}}');
INSERT INTO generations VALUES('613b08c0-d939-44ec-b231-ca799ecbfeac','hip hop beat at 140 BPM','musicgen-small',NULL,16.0,32000,2,'outputs/x.wav',NULL,'failed','2026-11-28 06:00:43.956767','2026-11-28 06:00:43.963337',NULL,'CUDA out of memory',NULL);
INSERT INTO generations VALUES('9613ed7c-0a8f-457e-a8ae-6de1d325c8ba','Hip Hop Beat at 140 BPM ','musicgen-small',NULL,16.0,32000,2,'outputs/x.wav',NULL,'failed','2026-11-28 06:00:43.964358',NULL,NULL,NULL,NULL);
INSERT INTO generations VALUES('5254b645-e5a7-4cf6-9736-73ad1cc065b0','東京の夜 🌃 ローファイ','musicgen-small',NULL,16.0,32000,2,'outputs/x.wav',NULL,'processing','2026-11-28 06:00:43.973616',NULL,NULL,NULL,'{"instruments": ["koto", "808"]}');
INSERT INTO generations VALUES('6770e6d1-50fc-4902-ae62-c5f0d5859863','dur zero','musicgen-small',NULL,0.0,32000,2,'outputs/x.wav',NULL,'pending','2026-11-28 06:00:43.974966',NULL,NULL,NULL,'{broken');
INSERT INTO generations VALUES('5a1ff976-a311-4cdc-8d5c-662ce9402262','quad','musicgen-small',NULL,16.0,32000,4,'outputs/x.wav',NULL,'pending','2026-11-28 06:00:43.975816',NULL,NULL,NULL,'[1,2]');
INSERT INTO generations VALUES('a2f9e96e-7280-4b3e-af78-845bb72d8995','','musicgen-small',NULL,16.0,0,2,'outputs/x.wav',NULL,'pending','2026-11-28 06:00:43.976536',NULL,NULL,NULL,NULL);
INSERT INTO generations VALUES('232c949a-4a84-4b96-9c6e-d7dacc025d19','cancelled one','musicgen-small',NULL,16.0,32000,2,'outputs/x.wav',NULL,'cancelled','2026-11-28 06:00:43.977168',NULL,NULL,NULL,NULL);
INSERT INTO generations VALUES('9af7bceb-529b-43d5-8a81-6228c66b2f5e','completed by status only','musicgen-small',NULL,16.0,32000,2,'outputs/x.wav',NULL,'completed','2026-11-28 06:00:43.982508',NULL,NULL,NULL,NULL);
INSERT INTO generations VALUES('a5ff3b89-8e28-4196-9de8-62561bb70455','back to pending','musicgen-small',NULL,16.0,32000,2,'outputs/x.wav',1,'pending','2026-11-28 06:00:43.983817','2026-11-28 06:00:43.990524',1.0,NULL,NULL);
INSERT INTO generations VALUES('96515267-6ae4-4c82-a101-cd6e7a9fcee6','prompt 0','musicgen-small',NULL,16.0,32000,2,'outputs/p0.wav',NULL,'pending','2026-11-28 06:00:43.992809',NULL,NULL,NULL,'null');
INSERT INTO generations VALUES('gen_1a2b3c4d','prompt 1','musicgen-small',NULL,16.0,32000,2,'outputs/p1.wav',NULL,'pending','2026-11-28 06:00:43.994716',NULL,NULL,NULL,NULL);
INSERT INTO generations VALUES('b4091ad5-8689-4cbd-a94a-5217c47c84ee','prompt 2','musicgen-small',NULL,16.0,32000,2,'outputs/p2.wav',NULL,'pending','2025-11-07T10:11:12',NULL,NULL,NULL,NULL);
INSERT INTO generations VALUES('13d075ad-9439-4a6a-b8b7-7d260556aeb0','prompt 3','musicgen-small',NULL,16.0,32000,2,'outputs/p3.wav',NULL,'pending','2025-11-07 10:11:12',NULL,NULL,NULL,NULL);
INSERT INTO generations VALUES('37dc4be7-2d95-4c70-a56b-75b17bb288fe','prompt 4','musicgen-small',NULL,16.0,32000,2,'outputs/p4.wav',NULL,'COMPLETED','2026-11-28 06:00:44.002708',NULL,NULL,NULL,NULL);
INSERT INTO generations VALUES('bde3a2e4-a8f8-46eb-80d3-8dcfd7fdbc29','prompt 5','musicgen-small',NULL,16.0,32000,2,'outputs/p5.wav',NULL,'queued','2026-11-28 06:00:44.003440',NULL,NULL,NULL,NULL);
INSERT INTO generations VALUES('1087fb07-d50a-41c5-ac2c-4f35d69def01','prompt 6','musicgen-small',NULL,16.0,32000,2,'outputs/p6.wav',-5,'pending','2026-11-28 06:00:44.004147',NULL,-1.0,NULL,NULL);
INSERT INTO generations VALUES('b17a886b-f665-4248-97ce-2bc89f07f325','prompt 0','musicgen-small',NULL,16.0,32000,2,'outputs/p7.wav',NULL,'pending','2026-11-28 06:00:44.004747',NULL,NULL,NULL,'null');
INSERT INTO generations VALUES('5ddd1878-a843-4b30-9139-eafa1f71121e','prompt 1','musicgen-small',NULL,16.0,32000,2,'outputs/p8.wav',NULL,'pending','2026-11-28 06:00:44.005357',NULL,NULL,NULL,NULL);
INSERT INTO generations VALUES('e5b4a530-80e9-410a-a72e-f35aa8b4f1b1','prompt 2','musicgen-small',NULL,16.0,32000,2,'outputs/p9.wav',NULL,'pending','2025-11-07T10:11:12',NULL,NULL,NULL,NULL);
INSERT INTO generations VALUES('2e929760-5057-45e4-a3f9-c86384dff9eb','prompt 3','musicgen-small',NULL,16.0,32000,2,'outputs/p10.wav',NULL,'pending','2025-11-07 10:11:12',NULL,NULL,NULL,NULL);
INSERT INTO generations VALUES('f7f4ebbd-c4ec-427b-a38d-e7176f9ccdc8','prompt 4','musicgen-small',NULL,16.0,32000,2,'outputs/p11.wav',NULL,'pending','2026-11-28 06:00:44.013619',NULL,NULL,NULL,NULL);
INSERT INTO generations VALUES('da8f1a80-f6e0-488b-8b84-3f9f1726acda','prompt 5','musicgen-small',NULL,16.0,32000,2,'outputs/p12.wav',NULL,'pending','2026-11-28 06:00:44.019105',NULL,NULL,NULL,NULL);
INSERT INTO generations VALUES('b26099ce-7c04-46c2-9a1b-770ccf9a1197','prompt 6','musicgen-small',NULL,16.0,32000,2,'outputs/p13.wav',NULL,'pending','2026-11-28 06:00:44.022313',NULL,NULL,NULL,NULL);
INSERT INTO generations VALUES('17236132-7d60-481f-8673-cf542a0402db','prompt 0','musicgen-small',NULL,16.0,32000,2,'outputs/p14.wav',NULL,'pending','2026-11-28 06:00:44.023845',NULL,NULL,NULL,'null');
INSERT INTO generations VALUES('a33e7b52-deb1-4693-be29-63d9bf97c159','prompt 1','musicgen-small',NULL,16.0,32000,2,'outputs/p15.wav',NULL,'pending','2026-11-28 06:00:44.024624',NULL,NULL,NULL,NULL);
INSERT INTO generations VALUES('004a9f20-603e-4bd3-be23-79f5d9d818da','prompt 2','musicgen-small',NULL,16.0,32000,2,'outputs/p16.wav',NULL,'pending','2025-11-07T10:11:12',NULL,NULL,NULL,NULL);
INSERT INTO generations VALUES('c31dab24-b03a-4728-87a0-1c8cfde44bf2','prompt 3','musicgen-small',NULL,16.0,32000,2,'outputs/p17.wav',NULL,'pending','2025-11-07 10:11:12',NULL,NULL,NULL,NULL);
INSERT INTO generations VALUES('fce14c89-4d17-4523-8105-ceb31ef5e38b','prompt 4','musicgen-small',NULL,16.0,32000,2,'outputs/p18.wav',NULL,'pending','2026-11-28 06:00:44.031726',NULL,NULL,NULL,NULL);
INSERT INTO generations VALUES('4c455042-2fa6-4a95-aa07-34e0d402a408','prompt 5','musicgen-small',NULL,16.0,32000,2,'outputs/p19.wav',NULL,'pending','2026-11-28 06:00:44.032413',NULL,NULL,NULL,NULL);
INSERT INTO generations VALUES('3182dcae-09aa-4616-92ac-ab4c1a76bf01','prompt 6','musicgen-small',NULL,16.0,32000,2,'outputs/p20.wav',NULL,'pending','2026-11-28 06:00:44.033075',NULL,NULL,NULL,NULL);
INSERT INTO generations VALUES('8d86e820-2973-4ea4-a755-993402f68e56','prompt 0','musicgen-small',NULL,16.0,32000,2,'outputs/p21.wav',NULL,'pending','2026-11-28 06:00:44.033652',NULL,NULL,NULL,'null');
INSERT INTO generations VALUES('b471a96c-969d-4792-bf06-0fbe4658f950','prompt 1','musicgen-small',NULL,16.0,32000,2,'outputs/p22.wav',NULL,'pending','2026-11-28 06:00:44.038732',NULL,NULL,NULL,NULL);
INSERT INTO generations VALUES('ae2a60f3-57de-478f-b967-1053abd5eb36','prompt 2','musicgen-small',NULL,16.0,32000,2,'outputs/p23.wav',NULL,'pending','2025-11-07T10:11:12',NULL,NULL,NULL,NULL);
INSERT INTO generations VALUES('3f777d82-7805-480a-afaf-36f7ac1d2de3','prompt 3','musicgen-small',NULL,16.0,32000,2,'outputs/p24.wav',NULL,'pending','2025-11-07 10:11:12',NULL,NULL,NULL,NULL);
CREATE TABLE prompts (
	id INTEGER NOT NULL, 
	text TEXT NOT NULL, 
	used_count INTEGER NOT NULL, 
	first_used_at DATETIME NOT NULL, 
	last_used_at DATETIME NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (text)
);
INSERT INTO prompts VALUES(1,'hip hop beat at 140 BPM',2,'2026-11-28 06:00:43.947753','2026-11-28 06:00:43.957390');
INSERT INTO prompts VALUES(2,'Hip Hop Beat at 140 BPM ',1,'2026-11-28 06:00:43.965310','2026-11-28 06:00:43.965314');
INSERT INTO prompts VALUES(3,'東京の夜 🌃 ローファイ',1,'2026-11-28 06:00:43.974590','2026-11-28 06:00:43.974594');
INSERT INTO prompts VALUES(4,'dur zero',1,'2026-11-28 06:00:43.975535','2026-11-28 06:00:43.975537');
INSERT INTO prompts VALUES(5,'quad',1,'2026-11-28 06:00:43.976321','2026-11-28 06:00:43.976323');
INSERT INTO prompts VALUES(6,'',1,'2026-11-28 06:00:43.976975','2026-11-28 06:00:43.976978');
INSERT INTO prompts VALUES(7,'cancelled one',1,'2026-11-28 06:00:43.977546','2026-11-28 06:00:43.977548');
INSERT INTO prompts VALUES(8,'completed by status only',1,'2026-11-28 06:00:43.983071','2026-11-28 06:00:43.983074');
INSERT INTO prompts VALUES(9,'back to pending',1,'2026-11-28 06:00:43.986599','2026-11-28 06:00:43.986602');
INSERT INTO prompts VALUES(10,'prompt 0',4,'2026-11-28 06:00:43.993498','2026-11-28 06:00:44.038188');
INSERT INTO prompts VALUES(11,'prompt 1',4,'2026-11-28 06:00:43.998588','2026-11-28 06:00:44.039182');
INSERT INTO prompts VALUES(12,'prompt 2',4,'2026-11-28 06:00:44.001199','2026-11-28 06:00:44.039944');
INSERT INTO prompts VALUES(13,'prompt 3',4,'2026-11-28 06:00:44.002437','2026-11-28 06:00:44.040571');
INSERT INTO prompts VALUES(14,'prompt 4',3,'2026-11-28 06:00:44.003224','2026-11-28 06:00:44.032123');
INSERT INTO prompts VALUES(16,'prompt 6',0,'2026-11-28 06:00:44.004556','2026-11-28 06:00:44.033396');
INSERT INTO prompts VALUES(17,'typed but never generated',1,'2026-11-28 06:00:44.041026','2026-11-28 06:00:44.041028');
INSERT INTO prompts VALUES(18,'deleted afterwards',1,'2026-11-28 06:00:44.041612','2026-11-28 06:00:44.041615');
CREATE INDEX idx_generations_created_at ON generations (created_at);
CREATE INDEX idx_generations_model_name ON generations (model_name);
CREATE INDEX idx_generations_status ON generations (status);
CREATE INDEX idx_generations_completed_at ON generations (completed_at);
CREATE INDEX idx_prompts_text ON prompts (text);
COMMIT;
