PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE profiles (
	id VARCHAR NOT NULL, 
	name VARCHAR, 
	PRIMARY KEY (id)
);
INSERT INTO profiles VALUES('6018366c-f658-47a7-9ed3-4fe53a096533','Anna');
INSERT INTO profiles VALUES('0b3510b0-b46e-41da-b170-17a6205738d1','花子');
INSERT INTO profiles VALUES('cfaf0010-3f58-4ad4-a308-24d215ceb3a1',NULL);
CREATE TABLE gpt_templates (
	id VARCHAR NOT NULL, 
	profile_id VARCHAR NOT NULL, 
	sys_msg TEXT NOT NULL, 
	prompt TEXT NOT NULL, 
	PRIMARY KEY (id), 
	CONSTRAINT uq_profile_template UNIQUE (profile_id), 
	UNIQUE (profile_id), 
	FOREIGN KEY(profile_id) REFERENCES profiles (id) ON DELETE CASCADE
);
INSERT INTO gpt_templates VALUES('6694f229-359b-4548-81a0-d5b3ffc6e35c','6018366c-f658-47a7-9ed3-4fe53a096533','tutor','Explain {}');
CREATE TABLE profile_transcripts (
	id VARCHAR NOT NULL, 
	profile_id VARCHAR NOT NULL, 
	original_file_name VARCHAR, 
	transcript TEXT NOT NULL, 
	gpt_explanation TEXT, 
	audio_file_path VARCHAR, 
	created_at DATETIME, 
	PRIMARY KEY (id), 
	FOREIGN KEY(profile_id) REFERENCES profiles (id) ON DELETE CASCADE
);
INSERT INTO profile_transcripts VALUES('7cc661e9-7589-4a4a-87c1-5471a4517d6c','6018366c-f658-47a7-9ed3-4fe53a096533','talk.mp3','こんにちは','hello','media_files/profiles/6018366c-f658-47a7-9ed3-4fe53a096533/transcripts/talk.mp3','2025-06-01 21:05:01.500000');
INSERT INTO profile_transcripts VALUES('92b850ad-7eb7-4f82-a3f6-5da874007cb4','0b3510b0-b46e-41da-b170-17a6205738d1',NULL,'',NULL,NULL,'2025-06-02 21:05:01.500000');
CREATE TABLE clips (
	id VARCHAR NOT NULL, 
	profile_id VARCHAR NOT NULL, 
	clip_start_time FLOAT NOT NULL, 
	clip_end_time FLOAT NOT NULL, 
	gpt_breakdown_response JSON NOT NULL, 
	video_clip_path VARCHAR NOT NULL, 
	original_video_file_name VARCHAR, 
	original_video_url VARCHAR, 
	created_at DATETIME, 
	PRIMARY KEY (id), 
	FOREIGN KEY(profile_id) REFERENCES profiles (id) ON DELETE CASCADE, 
	UNIQUE (video_clip_path)
);
INSERT INTO clips VALUES('a9b7e3ea-1d1d-484f-b9db-434b610b1631','6018366c-f658-47a7-9ed3-4fe53a096533',1.5,3.0,'{"focus": "\u72ac"}','media_files/profiles/6018366c-f658-47a7-9ed3-4fe53a096533/clips/c1.webm','第01話.mp4','blob:http://localhost/abc','2025-06-03 21:05:01.500000');
INSERT INTO clips VALUES('d0718c1a-fdd9-478d-98df-f3934223aa56','profile-that-is-gone',1.5,3.0,'"a bare string"','clips/c2.webm',NULL,NULL,'2025-06-03 21:05:01.500000');
CREATE TABLE profile_files (
	id VARCHAR NOT NULL, 
	profile_id VARCHAR NOT NULL, 
	file_name VARCHAR NOT NULL, 
	file_path VARCHAR NOT NULL, 
	file_type VARCHAR, 
	created_at DATETIME, 
	related_transcript_id VARCHAR, 
	PRIMARY KEY (id), 
	FOREIGN KEY(profile_id) REFERENCES profiles (id) ON DELETE CASCADE, 
	UNIQUE (file_path), 
	FOREIGN KEY(related_transcript_id) REFERENCES profile_transcripts (id)
);
INSERT INTO profile_files VALUES('67164890-d49d-4ac1-a5b8-063831360a40','6018366c-f658-47a7-9ed3-4fe53a096533','talk.mp3','media_files/profiles/6018366c-f658-47a7-9ed3-4fe53a096533/transcripts/talk.mp3','audio','2025-06-01 21:05:01.500000','7cc661e9-7589-4a4a-87c1-5471a4517d6c');
INSERT INTO profile_files VALUES('c24f6aa8-3bf3-4a14-bc2f-7ad016edc5d4','6018366c-f658-47a7-9ed3-4fe53a096533','第01話.mp4','media_files/profiles/6018366c-f658-47a7-9ed3-4fe53a096533/第01話.mp4',NULL,'2025-06-03 21:05:01.500000',NULL);
INSERT INTO profile_files VALUES('852a5fba-444a-4f42-b37f-5722051e2670','0b3510b0-b46e-41da-b170-17a6205738d1','gone.mp3','x/gone.mp3','audio','2025-06-04 21:05:01.500000','e941aa79-e6ed-4f80-b96d-3bc4685ca8af');
CREATE INDEX ix_profiles_id ON profiles (id);
CREATE UNIQUE INDEX ix_profiles_name ON profiles (name);
CREATE INDEX ix_gpt_templates_id ON gpt_templates (id);
CREATE INDEX ix_profile_transcripts_id ON profile_transcripts (id);
CREATE INDEX ix_clips_id ON clips (id);
CREATE INDEX ix_profile_files_id ON profile_files (id);
COMMIT;
